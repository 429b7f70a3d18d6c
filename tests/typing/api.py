"""The types of the public API, as ``make types`` sees them: pytest runs nothing of this.

A line with ``type: ignore`` is one that must not be accepted: mypy and pyright would report the
comment as unused if it were.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from celery import Celery
from pydantic import BaseModel
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

import sagas
from sagas import (
    Context,
    Failure,
    Outcome,
    Retry,
    RetryAfter,
    Reuse,
    Saga,
    SagaFailure,
    SagaHandle,
    SagaStatus,
    SagaView,
    Step,
    StepFailed,
    step,
)
from sagas import barrier as sagas_barrier
from sagas.testing import Effect, Violation, check, violations


class Order(BaseModel):
    id: str
    points: int = 0


class Parcel(BaseModel):
    weight: int


@dataclass
class Payment:
    amount: Decimal


# A step keeps the signature of its function.


@step
def reserve(order: Order) -> list[str]:
    return [order.id]


@step(
    name="payment.charge",
    retry=Retry(max_attempts=4, wait_initial=0.2, wait_max=timedelta(minutes=1)),
    timeout=timedelta(seconds=10),
    queue="payment",
    rate_limit="10/s",
)
def charge(order: Order, ctx: Context) -> Payment:
    assert_type(ctx.output_of(reserve), list[str])
    assert_type(ctx.output_of(reserve, name="again"), list[str])
    return Payment(Decimal(order.points))


@step(name="award", timeout=1.5)
def award(order: Order, *, factor: int = 1) -> None:
    """Award points."""


def a_step_is_called_as_its_function_is(order: Order, parcel: Parcel, ctx: Context) -> None:
    assert_type(reserve(order), list[str])
    assert_type(charge(order, ctx), Payment)
    award(order, factor=2)
    reserve(parcel)  # type: ignore[arg-type]
    reserve()  # type: ignore[call-arg]
    charge(order)  # type: ignore[call-arg]
    award(order, factor="2")  # type: ignore[arg-type]
    assert_type(reserve.name, str)


def options_have_types() -> None:
    step(retry=3)  # type: ignore[call-overload]
    step(timeout="10")  # type: ignore[call-overload]
    step("payment.charge")  # type: ignore[call-overload]
    Retry(max_attempts="3")  # type: ignore[arg-type]
    Step(reserve, only)  # type: ignore[call-arg]
    Step(reserve, best_effort="yes")  # type: ignore[arg-type]
    Step(lambda order: order)  # type: ignore[arg-type]


# What a step is given.


@charge.compensation(retry=Retry(max_attempts=10), timeout=5, name="payment.refund")
def refund(order: Order, ctx: Context) -> None:
    assert_type(order.points, int)
    assert_type(ctx.saga_id, UUID)
    assert_type(ctx.key, str)
    assert_type(ctx.step, str)
    assert_type(ctx.attempt, int)
    assert_type(ctx.idempotency_key, str)
    assert_type(ctx.action_key, str)
    assert_type(ctx.output_of(charge).amount, Decimal)
    assert_type(ctx.outcome, Outcome | None)
    assert_type(ctx.failure, Failure | None)
    if ctx.failure:
        assert_type(ctx.failure.code, str | None)
    ctx.heartbeat()
    ctx.attempt = 2  # type: ignore[misc]
    ctx.output_of("payment.charge")  # type: ignore[arg-type]


def an_effect_has_the_type_of_its_function(
    ctx: Context, session: Session, connection: Connection
) -> None:
    assert_type(ctx.once(session, lambda: Payment(Decimal(1))), Payment)
    assert_type(ctx.once(connection, lambda: 1, returns=int), int)
    ctx.once(session, lambda: None)
    ctx.once("sqlite://", lambda: 1)  # type: ignore[arg-type]
    ctx.once(session, Payment)  # type: ignore[arg-type]


def a_refusal_has_a_code() -> None:
    error = StepFailed("card declined", code="CARD_DECLINED")
    assert_type(error.code, str | None)
    StepFailed("card declined", "CARD_DECLINED")  # type: ignore[call-arg]


# A saga.


def only(order: Order) -> bool:
    return order.points > 0


order_saga = Saga(
    "typing.order",
    input=Order,
    steps=[reserve, charge, Step(award, when=only, best_effort=True, timeout=3, name="points")],
)


def a_saga_is_started_with_its_input(order: Order, parcel: Parcel, session: Session) -> None:
    assert_type(order_saga, Saga[Order])
    assert_type(order_saga.start(order, key="ORD-1"), SagaHandle)
    assert_type(order_saga.start(order, key="ORD-1", session=session), SagaHandle)
    assert_type(order_saga.start_json("{}", key="ORD-1"), SagaHandle)
    assert_type(order_saga.get(key="ORD-1"), SagaHandle)
    again = order_saga.start(order, key="ORD-1", reuse=Reuse.AFTER_COMPENSATED)
    assert_type(again.created, bool)
    assert_type(order_saga.start_many([(order, "ORD-1")], reuse=Reuse.NEVER), list[SagaHandle])
    order_saga.start(order, reuse="always")  # type: ignore[arg-type]
    assert_type(RetryAfter(timedelta(seconds=8), "busy").seconds, float)
    RetryAfter("8")  # type: ignore[arg-type]
    order_saga.start(parcel)  # type: ignore[arg-type]
    order_saga.start(order, "ORD-1")  # type: ignore[call-arg]
    order_saga.start(order, key=7)  # type: ignore[arg-type]
    order_saga.start(order, session="sqlite://")  # type: ignore[arg-type]


def other_inputs_have_types_as_well() -> None:
    assert_type(Saga("typing.int", input=int, steps=[]), Saga[int])
    by_annotation: Saga[dict[str, int]] = Saga("typing.dict", input=dict[str, int], steps=[])
    by_annotation.start({"a": 1})
    by_annotation.start({"a": "b"})  # type: ignore[dict-item]
    Saga("typing.steps", input=Order, steps=[only])  # type: ignore[list-item]


def a_handle_reads_the_record(handle: SagaHandle) -> None:
    assert_type(handle.id, UUID)
    assert_type(handle.key, str)
    assert_type(handle.status, SagaStatus)
    assert_type(handle.wait(timeout=10), SagaStatus)
    assert_type([entry.at for entry in handle.history()], list[datetime])
    assert_type(handle.describe(), SagaView)
    assert_type(handle.describe().failure, SagaFailure | None)
    assert_type(sagas.get(handle.id), SagaHandle)
    assert_type(sagas.get("0190b0a0-0000-7000-8000-000000000000"), SagaHandle)
    handle.wait(timeout="10")  # type: ignore[arg-type]


def the_record_is_asked_for_sagas_of_every_name() -> None:
    found = sagas.find(name="order", status=SagaStatus.FAILED, limit=5)
    assert_type([saga.id for saga in found], list[UUID])
    assert_type([saga.ended_at for saga in found], list[datetime | None])
    assert_type(sagas.count_by_status(), Mapping[SagaStatus, int])
    sagas.find(status="FAILED")  # type: ignore[arg-type]


def an_app_is_set_up(app: Celery, engine: Engine, connection: Connection) -> None:
    sagas.setup(app)
    sagas_barrier.create_tables(engine)
    sagas_barrier.create_tables(connection)


def a_list_of_steps_may_be_any_sequence(more: Sequence[Step]) -> None:
    Saga("typing.tuple", input=Order, steps=(reserve, charge))
    Saga("typing.sequence", input=Order, steps=more)


# Checking.


def a_record_is_checked_with_what_else_was_seen(app: Celery, saga_id: UUID) -> None:
    ledger = [Effect(saga_id, "charge", "action", key="K")]
    assert_type(check(app, ledger, parked=(), keys={"order": ["ORD-1"]}), None)
    assert_type(violations("sqlite:///record.db"), list[Violation])
    violations(app, ledger, runing=True)  # type: ignore[call-arg]
    violations(app, ledger, queues=["celery"])  # type: ignore[arg-type]
