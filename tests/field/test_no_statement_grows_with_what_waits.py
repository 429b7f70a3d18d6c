"""Thousands of messages in flight, waiting callers, and attempts that a dead worker held."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from sagas.duties.extend import Extend
from sagas.duties.in_flight import InFlight
from sagas.duties.supervisor import Duty, Timer
from sagas.ids import uuid7
from sagas.plan import Plan
from sagas.record import due, queries, workers
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from sagas.record.workers import Heartbeat
from sagas.runtime.app import Runtime
from sagas.sql import before_now, now
from sagas.states import StepStatus
from tests.support.waiting import wait_until

MANY = 10_000


@pytest.fixture
def largest(field_runtime: Runtime) -> Iterator[list[int]]:
    """Return a list whose first item is the largest number of values that a statement was given."""
    sizes = [0]

    def note(*args: Any) -> None:
        *_, parameters, _, many = args
        if not many:
            sizes[0] = max(sizes[0], len(parameters))

    engine = field_runtime.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sizes
    event.remove(engine, "before_cursor_execute", note)


def started(database: Database, count: int) -> list[uuid.UUID]:
    """Insert sagas into the record."""
    store = Store(database)
    plan = Plan("many", ())
    news = [
        NewSaga(id=uuid7(), key=str(n), plan=plan, input="{}", skipped=(), actor="a test")
        for n in range(count)
    ]
    return database.write(lambda c: insert_sagas(c, store.plans, news, lease_s=0.001))


def test_ten_thousand_messages_in_flight_are_extended_in_batches(
    field_runtime: Runtime, largest: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = field_runtime.database
    (saga_id,) = started(database, 1)
    messages = {(uuid.uuid4(), 1) for _ in range(MANY)} | {(saga_id, 1)}
    in_flight = InFlight()
    monkeypatch.setattr(in_flight, "unstarted", lambda **_: messages)
    due_at = select(t.saga.c.due_at)
    before = database.read(lambda c: c.execute(due_at).scalar_one())
    Extend(field_runtime, in_flight).extend_once()
    assert largest[0] < 1_000
    assert database.read(lambda c: c.execute(due_at).scalar_one()) > before


def test_ten_thousand_messages_are_extended_on_every_database(database_url: str) -> None:
    database = Database(database_url)
    (saga_id,) = started(database, 1)
    messages = [*((uuid.uuid4(), 1) for _ in range(MANY)), (saga_id, 1)]
    database.write(lambda c: due.extend(c, messages, extension_s=60))
    assert not database.read(due.any_due)
    database.dispose()


def test_ten_thousand_waiting_callers_are_looked_up_in_batches(
    field_runtime: Runtime, largest: list[int]
) -> None:
    ids = [uuid.uuid4() for _ in range(MANY)]
    assert field_runtime.database.read(lambda c: queries.ended_among(c, ids)) == {}
    assert largest[0] < 1_000


def test_thousands_of_attempts_of_a_dead_worker_become_due_in_batches(
    field_runtime: Runtime, largest: list[int]
) -> None:
    database, worker_id = field_runtime.database, uuid7()
    ids = started(database, 1_000)
    database.write(lambda c: workers.write_heartbeat(c, Heartbeat(worker_id, "one@here", 7, {})))
    held = [
        {"saga_id": saga_id, "name": "a", "status": StepStatus.RUNNING, "claim": "c"}
        for saga_id in ids
    ]
    database.write(lambda c: c.execute(insert(t.step).values(worker=worker_id), held))
    late = update(t.saga).values(due_at=before_now(-3600))
    database.write(lambda c: c.execute(late))
    largest[0] = 0
    assert database.write(lambda c: workers.expire(c, worker_id, None))
    assert largest[0] < 1_000
    query = select(t.saga.c.id).where(t.saga.c.due_at <= now())
    assert set(database.read(lambda c: c.execute(query).scalars().all())) == set(ids)


def test_a_duty_that_fails_does_not_stop_the_next() -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("stack depth limit exceeded")

    timer = Timer(Duty("first", fail), Duty("next", lambda: done.append("next")), every_s=0.001)
    timer.start()
    wait_until(lambda: len(done) > 1, timeout_s=60)
    timer.stop()
