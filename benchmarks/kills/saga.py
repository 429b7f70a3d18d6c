"""The same steps as a saga, with and without the participant's barrier."""

from functools import cache
from typing import Any

import celery
from celery import Celery
from pydantic import BaseModel
from sqlalchemy import Connection

import sagas
from benchmarks.kills.participant import ACTION, UNDO, Participant, take_time
from benchmarks.kills.place import VISIBILITY_TIMEOUT_S, Place
from sagas import Context, Saga, StepFailed, step

__all__ = ["Order", "make_app", "order_saga"]


class Order(BaseModel):
    """An order: whether the last step declines it, and whether the participant uses the barrier."""

    number: int
    declines: bool
    barrier: bool


@step(name="reserve")
def reserve(order: Order, ctx: Context) -> None:
    """Have the first effect."""
    take_time(lambda: _append(order, ctx, "reserve", ACTION))


@reserve.compensation()
def release(order: Order, ctx: Context) -> None:
    """Undo the first effect."""
    take_time(lambda: _append(order, ctx, "reserve", UNDO))


@step(name="charge")
def charge(order: Order, ctx: Context) -> None:
    """Have the second effect."""
    take_time(lambda: _append(order, ctx, "charge", ACTION))


@charge.compensation()
def refund(order: Order, ctx: Context) -> None:
    """Undo the second effect."""
    take_time(lambda: _append(order, ctx, "charge", UNDO))


@step(name="ship")
def ship(order: Order, ctx: Context) -> None:
    """Have the third effect, or decline."""

    def effect() -> None:
        if order.declines:
            raise StepFailed("nothing is shipped there", code="DECLINED")
        _append(order, ctx, "ship", ACTION)

    take_time(effect)


@ship.compensation()
def recall(order: Order, ctx: Context) -> None:
    """Undo the third effect."""
    take_time(lambda: _append(order, ctx, "ship", UNDO))


order_saga: Saga[Order] = Saga("order", input=Order, steps=[reserve, charge, ship])


def make_app(place: Place) -> Celery:
    """Make the app, as the current one; the engine has its default settings."""
    app = Celery("kills", broker=place.broker_url, set_as_current=True)
    app.conf.update(
        saga_database_url=place.record_url,
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
    )
    sagas.setup(app)
    return app


@cache
def _participant() -> Participant:
    return Participant(Place.from_environment().participant_url)


def _append(order: Order, ctx: Context, step: str, operation: str) -> None:
    with _participant().engine.begin() as connection:
        if order.barrier:
            ctx.once(connection, lambda: _effect(connection, order, step, operation))
        else:
            _effect(connection, order, step, operation)


def _effect(connection: Connection, order: Order, step: str, operation: str) -> None:
    task: Any = celery.current_task
    _participant().append(connection, order.number, step, operation, task.request.hostname)
