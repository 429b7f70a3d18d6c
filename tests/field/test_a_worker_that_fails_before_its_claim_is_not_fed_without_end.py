"""A worker that cannot use the record fails each message, and others run its errbacks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.app.trace import build_tracer
from kombu.entity import Queue
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from sagas import Event, Saga, step
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.record import tables as t
from sagas.record.store import Store
from sagas.runtime import queues
from sagas.runtime.app import Runtime
from sagas.sql import before_now
from sagas.worker import attempt


@step(name="field.claim.pack", read_only=True)
def pack(order: str) -> None:
    """Pack it."""


packed = Saga("field.claim.packed", input=str, steps=[pack])

#: Runs every waiting message and those that result from it; returns how many.
Drain = Callable[[], int]

CLAIM = attempt._Attempt._claim  # noqa: SLF001
GRANTS = 'permission denied for table "saga_step"'


class NoGrantsError(OperationalError):
    """The error that a worker without grants gets from a database, with the statement."""

    def __init__(self) -> None:
        super().__init__("UPDATE saga_step SET secret='s3cret'", {}, Exception(GRANTS))


@pytest.fixture
def drain(field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drain]:
    """Return a fleet whose steps fail before their claims and whose errbacks work."""
    monkeypatch.setattr(queues, "EXACT", (*queues.EXACT, "memory"))  # only this process uses it
    monkeypatch.setattr(attempt._Attempt, "_claim", _fail)  # noqa: SLF001
    app = field_runtime.app

    def run_all(*, limit: int = 30) -> int:
        with app.connection_for_read() as connection, connection.SimpleQueue("celery") as waiting:
            for number in range(limit):
                try:
                    message = waiting.get(block=False)
                except waiting.Empty:
                    return number
                message.ack()
                _run(app, message.headers, message.payload)
        return limit

    yield run_all
    with app.connection_for_write() as connection:
        Queue("celery")(connection.default_channel).delete()


def _fail(_: object) -> None:
    raise NoGrantsError


def _run(app: Any, headers: dict[str, Any], payload: Any) -> None:
    args, kwargs, embedded = payload
    task = app.tasks[headers["task"]]
    request = {**headers, **embedded, "args": args, "kwargs": kwargs}
    request |= {"is_eager": False, "delivery_info": {}, "called_directly": False}
    build_tracer(task.name, task, app=app)(headers["id"], args, kwargs, request)


def sweep(runtime: Runtime) -> None:
    due = update(t.saga).where(t.saga.c.due_at.is_not(None)).values(due_at=before_now(1))
    runtime.database.write(lambda c: c.execute(due))
    Sweep(runtime, InFlight()).sweep_once()


def test_its_message_is_sent_again_at_once_only_the_first_time(
    field_runtime: Runtime, drain: Drain
) -> None:
    handle = packed.start("C-1", key="C-1")
    assert drain() == 4  # the step and its errback, both once more
    assert handle.describe().epoch == 2
    state = Store(field_runtime.database).peek(handle.id)
    assert state
    assert state.checks > 0
    sweep(field_runtime)
    assert drain() == 4  # the alert sends it again with a new epoch
    sweep(field_runtime)
    assert drain() == 2
    assert handle.describe().epoch == 5


def test_the_alert_names_the_error_and_neither_a_missing_task_nor_the_statement(
    field_runtime: Runtime, drain: Drain
) -> None:
    handle = packed.start("C-1", key="C-1")
    for _ in range(5):
        drain()
        sweep(field_runtime)
    (alert,) = field_runtime.database.read(
        lambda c: c.execute(select(t.alert.c.body)).scalars().all()
    )
    assert alert["event"] == "saga.blocked"
    assert f"NoGrantsError: (builtins.Exception) {GRANTS}" in alert["reason"]
    assert "Deploy a worker" not in alert["reason"]
    assert "s3cret" not in alert["reason"]
    assert [entry.event for entry in handle.history()].count(Event.BLOCKED) == 1


def test_it_goes_on_once_a_worker_can_claim(
    field_runtime: Runtime, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = packed.start("C-1", key="C-1")
    for _ in range(5):
        drain()
        sweep(field_runtime)
    monkeypatch.setattr(attempt._Attempt, "_claim", CLAIM)  # noqa: SLF001
    sweep(field_runtime)
    drain()
    assert handle.status == "COMPLETED"
    assert handle.describe().blocked is None
