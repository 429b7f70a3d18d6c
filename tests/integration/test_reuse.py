"""A key whose saga was compensated may be used again, if the caller says so."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

import sagas
from sagas import Event, KeyConflict, Reuse, SagaHandle, SagaStatus
from sagas.cli.commands import matching
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.starts import insert_sagas
from sagas.record.store import Store
from sagas.runtime import app as runtime_app
from sagas.runtime.app import Runtime
from sagas.testing import ended_rows, violations
from tests.integration.outbox import Outbox
from tests.support.records import count, new_saga, turned_back
from tests.support.shop import Order, order_saga
from tests.support.waiting import HANG_S

pytestmark = pytest.mark.usefixtures("app", "outbox")

AGAIN = Reuse.AFTER_COMPENSATED


def compensated(key: str = "ORD-1") -> SagaHandle:
    """Start a saga and cancel it before anything has run."""
    handle = order_saga.start(Order(), key=key)
    handle.cancel(reason="the card was declined")
    assert handle.status is SagaStatus.COMPENSATED
    return handle


def test_by_default_a_key_is_used_once(database: Database) -> None:
    first = compensated()
    assert order_saga.start(Order(), key="ORD-1").id == first.id
    with pytest.raises(KeyConflict, match=r"reuse=Reuse\.AFTER_COMPENSATED"):
        order_saga.start(Order(total=Decimal(9)), key="ORD-1")
    assert count(database, t.saga) == 1


@pytest.mark.parametrize("total", [Decimal("1.10"), Decimal(9)])
def test_a_new_saga_is_started_after_one_that_was_compensated(
    database: Database, outbox: Outbox, total: Decimal
) -> None:
    first = compensated()
    second = order_saga.start(Order(total=total), key="ORD-1", reuse=AGAIN)
    assert second.created
    assert second.id != first.id
    assert outbox.of(second.id) == ["shop.reserve"]
    assert (second.key, second.status) == ("ORD-1", SagaStatus.STARTED)
    again = order_saga.start(Order(total=total), key="ORD-1", reuse=AGAIN)
    assert (again.id, again.created) == (second.id, False)
    assert order_saga.start(Order(total=total), key="ORD-1").id == second.id
    assert violations(database, running=True) == []


def test_a_key_without_a_saga_is_used_as_ever() -> None:
    assert order_saga.start(Order(), key="ORD-1", reuse=AGAIN).created


@pytest.mark.parametrize("status", [s for s in SagaStatus if s is not SagaStatus.COMPENSATED])
def test_only_a_saga_that_was_compensated_gives_its_key_away(
    database: Database, status: SagaStatus
) -> None:
    first = order_saga.start(Order(), key="ORD-1")
    database.write(lambda c: c.execute(t.saga.update().values(status=status)))
    same = order_saga.start(Order(), key="ORD-1", reuse=AGAIN)
    assert (same.id, same.created) == (first.id, False)
    with pytest.raises(KeyConflict):
        order_saga.start(Order(total=Decimal(9)), key="ORD-1", reuse=AGAIN)


def test_the_newest_is_found_by_key_and_the_others_are_found_all_the_same(
    database: Database,
) -> None:
    old = []
    for _ in range(3):
        old.append(order_saga.start(Order(), key="ORD-1", reuse=AGAIN))
        old[-1].cancel(reason="…")
    newest = order_saga.start(Order(), key="ORD-1", reuse=AGAIN)
    assert order_saga.get(key="ORD-1").id == newest.id
    assert [view.id for view in database.read(lambda c: matching(c, "ORD-1"))] == [newest.id]
    assert [view.superseded for view in sagas.find(key="ORD-1")] == [0, 3, 2, 1]
    for handle in old:
        assert sagas.get(handle.id).describe().key == "ORD-1"
        assert handle.history()[-1].event is Event.COMPENSATED


def test_the_earlier_saga_is_as_it_was(database: Database) -> None:
    compensated()
    before = ended_rows(database)
    order_saga.start(Order(), key="ORD-1", reuse=AGAIN)
    assert violations(database, since=before, running=True) == []


def test_many_are_started_and_each_handle_says_whether_it_is_new() -> None:
    compensated("ORD-1")
    running = order_saga.start(Order(), key="ORD-2")
    batch = [(Order(), key) for key in ("ORD-3", "ORD-2", "ORD-1", "ORD-1")]
    handles = order_saga.start_many(batch, reuse=AGAIN)
    assert [handle.created for handle in handles[:3]] == [True, False, True]
    assert handles[1].id == running.id
    assert handles[2].id == handles[3].id


def test_none_is_started_and_no_key_is_given_away_if_one_conflicts(database: Database) -> None:
    first = compensated("ORD-1")
    order_saga.start(Order(), key="ORD-2")
    batch = [(Order(), "ORD-1"), (Order(total=Decimal(9)), "ORD-2")]
    with pytest.raises(KeyConflict):
        order_saga.start_many(batch, reuse=AGAIN)
    assert order_saga.get(key="ORD-1").id == first.id
    assert count(database, t.saga) == 2


@pytest.mark.parametrize("commits", [True, False])
def test_it_commits_and_rolls_back_with_the_callers_transaction(
    engine: Engine, outbox: Outbox, *, commits: bool
) -> None:
    first = compensated()
    with Session(engine) as session:
        second = order_saga.start(Order(), key="ORD-1", session=session, reuse=AGAIN)
        assert second.created
        session.commit() if commits else session.rollback()
    assert order_saga.get(key="ORD-1").id == (second.id if commits else first.id)
    assert outbox.of(second.id) == (["shop.reserve"] if commits else [])


def test_of_simultaneous_starts_exactly_one_starts_a_new_saga(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_app, "_bound", [runtime])  # as in a program with one app
    compensated()
    ready = threading.Barrier(4)

    def start(_: int) -> SagaHandle:
        ready.wait(timeout=HANG_S)
        return order_saga.start(Order(total=Decimal(9)), key="ORD-1", reuse=AGAIN)

    with ThreadPoolExecutor(4) as pool:
        handles = list(pool.map(start, range(4)))
    assert len({handle.id for handle in handles}) == 1
    assert sorted(handle.created for handle in handles) == [False, False, False, True]
    assert count(database, t.saga) == 2


def test_a_caller_whose_snapshot_is_older_than_the_new_saga_finds_it(
    engine: Engine, database: Database
) -> None:
    """On MariaDB a caller's transaction reads what was there when it began."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets nobody else write meanwhile")
    compensated()
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(t.saga)) == 1  # its snapshot
        other = order_saga.start(Order(), key="ORD-1", reuse=AGAIN)
        mine = order_saga.start(Order(), key="ORD-1", session=session, reuse=AGAIN)
        session.commit()
    assert (mine.id, mine.created) == (other.id, False)
    assert count(database, t.saga) == 2


def test_a_start_that_is_repeated_after_a_lost_reply_starts_one_saga(store: Store) -> None:
    turned_back(store, "T-1")
    new = new_saga("T-1")
    ended = t.saga.update().where(t.saga.c.id == new.id).values(status="COMPENSATED")
    for _ in range(2):  # as if the reply to the first commit was lost, and it ended meanwhile
        ids = store.database.write(
            lambda c: insert_sagas(c, store.plans, [new], lease_s=60, reuse=AGAIN)
        )
        assert ids == [new.id]
        store.database.write(lambda c: c.execute(ended))
    assert count(store.database, t.saga) == 2
