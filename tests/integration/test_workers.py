"""Which workers are alive, and what happens to the claims of dead ones."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from sagas.decision import Succeeded
from sagas.ids import uuid7
from sagas.record import due, workers
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.record.workers import Heartbeat
from sagas.sql import after_now, before_now
from sagas.states import Operation
from tests.support.records import (
    ERRORED,
    REFUSED,
    claims,
    concludes,
    move,
    saga_row,
    started,
    turned_back,
)

#: An hour: no test runs so long that a worker dies meanwhile.
LEASE_S = 3600.0
EARLIER_S, LATER_S = LEASE_S * 2 / 3, LEASE_S * 4 / 3


def beaten(database: Database, *, ago_s: float = 0, **seen: float) -> UUID:
    """Insert a worker into the record whose last heartbeat is this old."""
    worker_id = uuid7()
    database.write(lambda c: workers.write_heartbeat(c, Heartbeat(worker_id, "one@here", 7, seen)))
    silence(database, worker_id, ago_s)
    return worker_id


def silence(database: Database, worker_id: UUID, ago_s: float) -> None:
    statement = update(t.worker).where(t.worker.c.id == worker_id)
    database.write(lambda c: c.execute(statement.values(heartbeat_at=before_now(ago_s))))


def fresh(database: Database) -> dict[UUID, Any]:
    return database.read(lambda c: workers.live_workers(c, LEASE_S))


def stale(database: Database) -> list[UUID]:
    return list(database.read(lambda c: workers.stale_workers(c, LEASE_S)))


def expire(database: Database, worker_id: UUID, lease_s: float | None = LEASE_S) -> bool:
    return database.write(lambda c: workers.expire(c, worker_id, lease_s))


def attended(store: Store, saga_id: UUID) -> bool:
    state = store.peek(saga_id)
    assert state is not None
    return state.step("flight").attended


def test_a_step_is_attended_until_its_worker_is_expired(store: Store) -> None:
    """Only expiry declares a worker dead: it spares those silenced by an outage."""
    saga_id = started(store)
    worker_id = beaten(store.database)
    claims(store, saga_id, "flight", worker=worker_id)
    silence(store.database, worker_id, LATER_S)
    assert attended(store, saga_id)
    assert expire(store.database, worker_id)
    assert not attended(store, saga_id)


def is_due(database: Database, saga_id: UUID) -> bool:
    return saga_id in database.write(lambda c: due.reserve_due(c, limit=100, reservation_s=LEASE_S))


def test_a_worker_is_alive_for_a_lease_after_its_last_heartbeat(database: Database) -> None:
    living, dead = beaten(database, ago_s=EARLIER_S, fast=7.5), beaten(database, ago_s=LATER_S)
    assert fresh(database) == {living: {"fast": 7.5}}
    assert stale(database) == [dead]


def test_a_heartbeat_revives_a_worker_and_records_the_progress_of_its_queues(
    database: Database,
) -> None:
    worker_id = beaten(database, ago_s=LATER_S, fast=1.0)
    sign = Heartbeat(worker_id, "one@here", 7, {"fast": 2.0})
    database.write(lambda c: workers.write_heartbeat(c, sign))
    assert fresh(database) == {worker_id: {"fast": 2.0}}
    assert database.read(lambda c: c.execute(select(t.worker)).one()).hostname == "one@here"


def test_a_worker_that_was_expired_too_early_comes_back_with_its_next_heartbeat(
    database: Database,
) -> None:
    worker_id = beaten(database, ago_s=LATER_S)
    assert expire(database, worker_id)
    assert fresh(database) == {}
    database.write(lambda c: workers.write_heartbeat(c, Heartbeat(worker_id, "one@here", 7, {})))
    assert list(fresh(database)) == [worker_id]


def test_only_a_stale_worker_is_expired(store: Store) -> None:
    worker_id = beaten(store.database, ago_s=EARLIER_S)
    saga_id = started(store)
    claims(store, saga_id, "flight", worker=worker_id)
    assert not expire(store.database, worker_id)
    assert not is_due(store.database, saga_id)
    assert list(fresh(store.database)) == [worker_id]


def test_a_worker_is_expired_once(database: Database) -> None:
    worker_id = beaten(database, ago_s=LATER_S)
    assert [expire(database, worker_id), expire(database, worker_id)] == [True, False]


def test_a_worker_that_stops_on_its_own_is_expired_even_if_its_heartbeat_is_fresh(
    database: Database,
) -> None:
    assert expire(database, beaten(database), lease_s=None)


@pytest.mark.parametrize("operation", Operation)
def test_what_an_expired_worker_held_is_due_at_once(operation: Operation, store: Store) -> None:
    worker_id = beaten(store.database, ago_s=LATER_S)
    saga_id = started(store)
    if operation is Operation.COMPENSATION:
        claims(store, saga_id, "flight")
        concludes(store, saga_id, "flight", Succeeded())
        claims(store, saga_id, "hotel")
        concludes(store, saga_id, "hotel", REFUSED)
        move(store, saga_id)
    claims(store, saga_id, "flight", operation, worker=worker_id)
    assert not is_due(store.database, saga_id)
    expire(store.database, worker_id)
    assert is_due(store.database, saga_id)


def test_what_other_workers_hold_is_left_to_them(store: Store) -> None:
    dead, living = beaten(store.database, ago_s=LATER_S), beaten(store.database)
    held, idle, waiting, done = (started(store, f"T-{number}") for number in range(4))
    claims(store, held, "flight", worker=living)
    claims(store, waiting, "flight", worker=dead)
    concludes(store, waiting, "flight", ERRORED)  # it has released its claim
    claims(store, done, "flight", worker=dead)
    concludes(store, done, "flight", Succeeded())
    before = [saga_row(store.database, saga_id) for saga_id in (held, idle, waiting, done)]
    expire(store.database, dead)
    after = [saga_row(store.database, saga_id) for saga_id in (held, idle, waiting, done)]
    assert after == before


def test_a_saga_that_has_ended_is_not_made_due(store: Store) -> None:
    saga_id, worker_id = turned_back(store), beaten(store.database, ago_s=LATER_S)
    statement = update(t.step).where(t.step.c.saga_id == saga_id)
    held = {"status": "RUNNING", "worker": worker_id, "claim": "token"}
    store.database.write(lambda c: c.execute(statement.values(held)))
    expire(store.database, worker_id)
    assert saga_row(store.database, saga_id).due_at is None


def test_a_worker_holds_what_it_has_claimed_and_not_settled(store: Store) -> None:
    worker_id, other = uuid7(), uuid7()
    mine, others, over = (started(store, f"T-{number}") for number in range(3))
    claims(store, mine, "flight", worker=worker_id, task_id="t-1")
    claims(store, others, "flight", worker=other, task_id="t-2")
    claims(store, over, "flight", worker=worker_id, task_id="t-3")
    concludes(store, over, "flight", ERRORED)
    held = store.database.read(lambda c: workers.held_by(c, worker_id))
    assert held == {mine: "t-1"}


def test_past_and_future_times_compare_correctly(database: Database) -> None:
    moments = select(before_now(900.5) < after_now(0), after_now(900.5) > before_now(0))
    assert database.read(lambda c: c.execute(moments).one()) == (True, True)
