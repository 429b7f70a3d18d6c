"""The log of a failed attempt: each line says what failed, in which saga, and why."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import BaseModel, SecretStr
from sqlalchemy import select

from sagas import CompensationContext, Context, Retry, Saga, SagaStatus, StepFailed, step
from sagas.duties.alerts import Alerts
from sagas.events import Event
from sagas.record import tables as t
from sagas.runtime.app import runtime_of
from tests.support.in_process import application, run_all

CANARY = "canary-77f0"


class Order(BaseModel):
    card: SecretStr = SecretStr(CANARY)
    way: str = ""


@step(name="logged.pay", retry=Retry(max_attempts=3, wait_initial=0))
def pay(order: Order, ctx: Context) -> None:
    if order.way == "errors twice" and ctx.attempt < 3:
        raise OSError("no route")
    if order.way == "quotes a secret":
        raise ValueError(f"cannot charge {order.card.get_secret_value()}\nsecond line")
    if order.way == "refuses":
        raise StepFailed("card declined", code="DECLINED")


@pay.compensation(retry=Retry(max_attempts=20, wait_initial=0))
def refund(order: Order, ctx: CompensationContext[None]) -> None:
    if order.way == "cannot be undone" and ctx.attempt < 20:
        raise OSError("the ledger is closed")


@step(name="logged.ship", retry=Retry(max_attempts=1))
def ship(order: Order) -> None:
    if order.way == "cannot be undone":
        raise StepFailed("no carrier")


@ship.compensation
def unship(order: Order) -> None:
    """Take it back."""


saga = Saga("logged.order", input=Order, steps=[pay, ship])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with application(tmp_path) as made:
        yield made


def ran(app: Celery, way: str) -> Any:
    handle = saga.start(Order(way=way), key="ORD-1")
    run_all(app)
    return handle


def of_attempts(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == "sagas.attempts"]


def test_a_retry_names_the_saga_the_key_the_step_the_attempt_and_the_error(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    handle = ran(app, "errors twice")
    assert handle.status is SagaStatus.COMPLETED
    first, second = of_attempts(log)
    assert first.getMessage() == (
        f"Saga logged.order ORD-1 ({handle.id}): attempt 1 of the action of logged.pay ended with "
        "OSError: no route; its outcome is unknown, next in 0.0 s."
    )
    assert "attempt 2 of the action of logged.pay" in second.getMessage()
    assert first.levelno == logging.WARNING
    assert first.exc_info
    assert isinstance(first.exc_info[1], OSError)
    celerys = [r.getMessage() for r in log.records if " retry: " in r.getMessage()]
    assert len(celerys) == 2
    for line in celerys:
        assert "saga logged.order ORD-1" in line
        assert "OSError: no route" in line


def test_the_fields_of_a_line_can_be_read_by_a_machine(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    handle = ran(app, "errors twice")
    record = vars(of_attempts(log)[1])
    names = ("saga_id", "saga", "key", "step", "operation", "attempt", "epoch")
    fields = {name: record[name] for name in names}
    assert json.loads(json.dumps(fields)) == {
        "saga_id": str(handle.id),
        "saga": "logged.order",
        "key": "ORD-1",
        "step": "logged.pay",
        "operation": "action",
        "attempt": 2,
        "epoch": 2,
    }


def test_a_refusal_is_one_line_without_a_traceback(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    ran(app, "refuses")
    (record,) = of_attempts(log)
    assert "was refused with DECLINED: card declined." in record.getMessage()
    assert record.levelno == logging.INFO
    assert record.exc_info is None


def test_neither_a_line_nor_its_traceback_quotes_a_secret(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    ran(app, "quotes a secret")
    lines = of_attempts(log)
    assert len(lines) == 3
    assert "no attempt follows" in lines[-1].getMessage()
    for record in log.records:
        shown = logging.Formatter().format(record)
        assert CANARY not in shown
        assert CANARY not in repr(vars(record))
    for record in lines:
        assert "\n" not in record.getMessage()
        assert record.exc_info


def alerts(app: Celery) -> list[Any]:
    database = runtime_of(app).database
    return [row.body for row in database.read(lambda c: c.execute(select(t.alert)).all())]


def test_people_are_told_once_that_a_compensation_keeps_failing_before_it_is_given_up(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    handle = ran(app, "cannot be undone")
    assert handle.status is SagaStatus.COMPENSATED
    assert len(of_attempts(log)) == 20  # the refusal, and each attempt of the undo but the last
    (alert,) = alerts(app)
    assert (alert["event"], alert["steps"]) == ("saga.failing", ["logged.pay"])
    assert alert["reason"] == (
        "The compensation of logged.pay has failed 10 times and is tried again, 20 times in all. "
        "The last error is OSError: the ledger is closed"
    )
    events = [entry.event for entry in handle.history()]
    assert events.count(Event.KEEPS_FAILING) == 1
    assert events.index(Event.KEEPS_FAILING) < events.index(Event.COMPENSATED)
    assert Alerts(runtime_of(app)).deliver_once() == 1
    (told,) = [record for record in log.records if record.name == "sagas.alerts"]
    assert "Saga logged.order ORD-1" in told.getMessage()
    assert "is failing: The compensation of logged.pay has failed 10 times" in told.getMessage()
