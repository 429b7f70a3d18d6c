"""Starting many sagas: one transaction, one publish, all or none."""

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.messaging import Producer
from pydantic import ValidationError
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import Session

from sagas import InvalidKey, KeyConflict, PayloadTooLarge, Saga
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.record import due, starts
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.sql import after_now
from sagas.states import SagaStatus
from tests.integration.outbox import Outbox
from tests.support.proxy import Door
from tests.support.records import claims, count, events, move, saga_row
from tests.support.shop import Order, order_saga, orders, reserve

FIRST = "shop.reserve"

pytestmark = pytest.mark.usefixtures("app")


#: Far shorter than the delays here, and longer than any machine needs for a start.
ABOUT = timedelta(minutes=15)

brief_saga = Saga("shop.brief", input=Order, steps=[reserve], deadline=timedelta(hours=1))


def batch(*keys: str) -> list[tuple[Order, str | None]]:
    return [(Order(id=key), key) for key in keys]


def nothing_is_there(database: Database) -> bool:
    return not any(count(database, table) for table in (t.saga, t.step, t.history))


def test_all_are_recorded_and_published_once_each_after_the_commit(
    database: Database, outbox: Outbox
) -> None:
    handles = order_saga.start_many(batch("A", "B", "C"))
    assert [handle.key for handle in handles] == ["A", "B", "C"]
    assert [outbox.of(handle.id) for handle in handles] == [[FIRST]] * 3
    assert [events(database, handle.id) for handle in handles] == [["STARTED"]] * 3


def test_starting_none_is_no_error_and_writes_nothing(database: Database, outbox: Outbox) -> None:
    assert order_saga.start_many([]) == []
    assert nothing_is_there(database)
    assert not outbox.messages


def test_conditions_are_evaluated_for_each_input(database: Database, outbox: Outbox) -> None:
    sagas = [(Order(id="A", notify=False), "A"), (Order(id="B"), "B")]
    one, other = order_saga.start_many(sagas)
    assert events(database, one.id) == ["STARTED", "shop.notify SKIPPED"]
    assert events(database, other.id) == ["STARTED"]
    assert [outbox.of(handle.id) for handle in (one, other)] == [[FIRST]] * 2


# All or none.

LONG = "x" * 2_000


def bad_batches() -> Iterator[Any]:
    nonsense: Any = {"total": "much"}
    taken = Order(id="taken", notify=False)
    for name, pair, error in (
        ("a key that is taken", (taken, "taken"), KeyConflict),
        ("an invalid input", (nonsense, "M"), ValidationError),
        ("a key that cannot be stored", (Order(), "a\x00b"), InvalidKey),
        ("an input that is too long", (Order(id=LONG), "M"), PayloadTooLarge),
        ("a key twice with two inputs", (Order(id="other"), "A"), KeyConflict),
    ):
        yield pytest.param([*batch("A", "B"), pair, *batch("Y", "Z")], error, id=name)


@pytest.mark.parametrize("within", [True, False], ids=["in a session", "alone"])
@pytest.mark.parametrize(("sagas", "error"), list(bad_batches()))
def test_one_saga_that_cannot_be_started_keeps_all_from_starting(
    sagas: Any,
    error: type[Exception],
    within: bool,  # noqa: FBT001
    app: Celery,
    engine: Engine,
    database: Database,
    outbox: Outbox,
) -> None:
    app.conf.update(saga_payload_limit_bytes=1_000)
    order_saga.start(Order(id="taken"), key="taken")
    if within:
        with Session(engine) as session, session.begin():
            session.execute(insert(orders).values(id="before"))
            with pytest.raises(error):
                order_saga.start_many(sagas, session=session)
            session.execute(insert(orders).values(id="after"))
        assert count(database, orders) == 2  # the caller's transaction was usable and was committed
    else:
        with pytest.raises(error):
            order_saga.start_many(sagas)
    assert count(database, t.saga) == count(database, t.history) == 1
    assert len(outbox.messages) == 1


def test_rows_written_before_a_conflict_was_found_are_gone(
    database: Database, outbox: Outbox, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Happens when another transaction takes a key between the check and the write."""
    order_saga.start(Order(id="taken"), key="B")
    real, looks = starts._existing, []  # noqa: SLF001 - to come between its look and its write

    def blind_at_first(*args: Any, **options: Any) -> Any:
        looks.append(1)
        return {} if len(looks) == 1 else real(*args, **options)

    monkeypatch.setattr(starts, "_existing", blind_at_first)
    with Session(engine) as session, session.begin():
        session.execute(insert(orders).values(id="before"))
        with pytest.raises(KeyConflict, match="Nothing was started"):
            order_saga.start_many(batch("A", "B", "C"), session=session)
    assert len(looks) > 1
    assert (count(database, t.saga), count(database, orders)) == (1, 1)
    assert len(outbox.messages) == 1


def test_a_rollback_by_the_caller_rolls_all_back(
    engine: Engine, database: Database, outbox: Outbox
) -> None:
    with Session(engine) as session:
        order_saga.start_many(batch("A", "B"), session=session)
        session.rollback()
    assert nothing_is_there(database)
    assert not outbox.messages


def test_the_caller_commits_its_own_row_and_all_sagas_at_once(
    engine: Engine, database: Database, outbox: Outbox
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(insert(orders).values(id="A"))
        handles = order_saga.start_many(batch("A", "B"), session=session)
        assert not outbox.messages
        assert count(database, t.saga) == 0
    assert [outbox.of(handle.id) for handle in handles] == [[FIRST]] * 2


# Repeated keys.


def test_a_repeated_key_with_one_input_is_one_saga(database: Database, outbox: Outbox) -> None:
    one, other, again = order_saga.start_many(batch("A", "B", "A"))
    assert one.id == again.id != other.id
    assert count(database, t.saga) == 2
    assert outbox.of(one.id) == [FIRST]
    assert events(database, one.id) == ["STARTED"]


def test_existing_sagas_are_returned_in_their_places_and_not_published_again(
    database: Database, outbox: Outbox
) -> None:
    known = order_saga.start_many(batch("D", "B"))
    handles = order_saga.start_many(batch("A", "B", "C", "D"))
    assert [handle.key for handle in handles] == ["A", "B", "C", "D"]
    assert [handles[3].id, handles[1].id] == [handle.id for handle in known]
    assert count(database, t.saga) == 4
    assert [len(outbox.of(handle.id)) for handle in handles] == [1, 1, 1, 1]


def test_two_sagas_without_a_key_are_two_sagas() -> None:
    one, other = order_saga.start_many([(Order(), None), (Order(), None)])
    assert one.id != other.id
    assert one.key == str(one.id)


# Many.

MANY = 2_000


@pytest.mark.skipif(not hasattr(Producer, "batch"), reason="kombu has no batches before 5.7")
@pytest.mark.parametrize("within", [True, False], ids=["in a session", "alone"])
def test_two_thousand_sagas_are_published_in_a_few_round_trips(
    within: bool,  # noqa: FBT001
    redis_url: str,
    database_url: str,
    app: Celery,
    engine: Engine,
    database: Database,
) -> None:
    assert database_url
    app.conf.update(broker_url=redis_url)
    sagas = batch(*(f"ORD-{number}" for number in range(MANY)))
    with redis.Redis.from_url(redis_url) as client:
        order_saga.start(Order(), key="first")  # connects and declares the queue
        reads = int(client.info("stats")["total_reads_processed"])
        if within:
            with Session(engine) as session, session.begin():
                handles = order_saga.start_many(sagas, session=session)
        else:
            handles = order_saga.start_many(sagas)
        reads = int(client.info("stats")["total_reads_processed"]) - reads
        assert client.llen(app.conf.task_default_queue) == MANY + 1
    assert len({handle.id for handle in handles}) == MANY
    assert count(database, t.saga) == count(database, t.history) == MANY + 1
    # The server reads from a socket once per request, or once per 16 kB of a longer one.
    assert reads < MANY / 2, f"{reads} reads for {MANY} messages"
    assert [handle.id for handle in order_saga.start_many(sagas)] == [h.id for h in handles]


def test_single_starts_take_one_round_trip_each(
    redis_url: str, database_url: str, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control for the test above: without a batch it sees every message."""
    assert database_url
    monkeypatch.setattr("sagas.runtime.messages._in_one_go", lambda producer, _: producer)
    monkeypatch.setattr("kombu.messaging.Producer.__exit__", lambda *_: None)
    app.conf.update(broker_url=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        order_saga.start(Order(), key="first")
        reads = int(client.info("stats")["total_reads_processed"])
        order_saga.start_many(batch(*(f"ORD-{number}" for number in range(100))))
        assert int(client.info("stats")["total_reads_processed"]) - reads >= 100


@pytest.mark.parametrize("within", [True, False], ids=["in a session", "alone"])
def test_a_broker_that_is_down_causes_no_error_for_the_caller_and_all_sagas_are_due(
    within: bool,  # noqa: FBT001
    app: Celery,
    engine: Engine,
    database: Database,
    closed_broker: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.conf.update(broker_url=closed_broker.url)
    sagas = batch(*(f"ORD-{number}" for number in range(50)))
    if within:
        with Session(engine) as session, session.begin():
            handles = order_saga.start_many(sagas, session=session)
    else:
        handles = order_saga.start_many(sagas)
    assert closed_broker.turned_away <= 2, "it is asked once, and once more"
    assert caplog.text.count("the broker did not accept the next message") == 1
    assert "and 49 others" in caplog.text
    database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    taken = database.write(lambda c: due.reserve_due(c, limit=99, reservation_s=9))
    assert set(taken) == {handle.id for handle in handles}


def test_one_sweep_sends_what_the_broker_did_not_accept(
    runtime: Runtime, database: Database, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.messages, "_rest_until", math.inf)
    handles = order_saga.start_many(batch("A", "B", "C"))
    assert not outbox.messages
    monkeypatch.setattr(runtime.messages, "_rest_until", 0.0)
    database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    assert Sweep(runtime, InFlight()).sweep_once() == 3
    assert [outbox.of(handle.id) for handle in handles] == [[FIRST]] * 3


# Later.


def test_a_delayed_saga_waits_in_the_record_and_is_due_after_the_delay(
    database: Database, outbox: Outbox, engine: Engine
) -> None:
    later = timedelta(hours=2)
    handles = [
        brief_saga.start(Order(), key="one", delay=later),
        *brief_saga.start_many([(Order(), "two"), (Order(), "three")], delay=later),
    ]
    with Session(engine) as session, session.begin():
        handles.append(brief_saga.start(Order(), key="four", session=session, delay=later))
    assert not outbox.messages
    for row in (saga_row(database, handle.id) for handle in handles):
        assert abs(row.due_at - row.started_at - later) < ABOUT
        assert row.sent_at is None
        # The deadline counts from the end of the delay.
        counted = row.deadline_at - row.due_at
        assert abs(counted - timedelta(hours=1)) < ABOUT
        assert row.status == SagaStatus.STARTED
    assert not database.read(due.any_due)


def test_a_delayed_saga_starts_when_its_time_comes(
    database: Database, store: Store, runtime: Runtime, outbox: Outbox
) -> None:
    handle = order_saga.start(Order(), delay=timedelta(hours=2))
    handles = order_saga.start_many(batch("A", "B"), delay=timedelta(hours=3))
    sweep = Sweep(runtime, InFlight())
    assert sweep.sweep_once() == 0
    come = update(t.saga).where(t.saga.c.id == handle.id).values(due_at=after_now(-1))
    database.write(lambda c: c.execute(come))
    assert sweep.sweep_once() == 1
    assert outbox.of(handle.id) == [FIRST]
    assert not [message for other in handles for message in outbox.of(other.id)]
    assert events(database, handle.id) == ["STARTED", "sent"]
    # A message of an earlier epoch would be void; this one runs.
    assert claims(store, handle.id, FIRST).status is SagaStatus.IN_PROGRESS


def test_a_delayed_saga_can_be_cancelled_before_it_starts(outbox: Outbox) -> None:
    handle = order_saga.start(Order(), delay=timedelta(hours=2))
    handle.cancel(reason="the customer left")
    assert handle.status is SagaStatus.COMPENSATED
    assert not outbox.messages


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-5)])
def test_a_zero_delay_is_no_delay(delay: timedelta, database: Database, outbox: Outbox) -> None:
    handle = order_saga.start(Order(), delay=delay)
    assert outbox.of(handle.id) == [FIRST]
    row = saga_row(database, handle.id)
    assert timedelta(0) < row.due_at - row.started_at < ABOUT


def test_the_deadline_of_a_saga_without_a_delay_counts_from_its_start(
    database: Database, store: Store
) -> None:
    handle = brief_saga.start(Order())
    row = saga_row(database, handle.id)
    assert abs(row.deadline_at - row.started_at - timedelta(hours=1)) < ABOUT
    passed = update(t.saga).values(deadline_at=after_now(-1), due_at=after_now(-1))
    database.write(lambda c: c.execute(passed.where(t.saga.c.id == handle.id)))
    assert move(store, handle.id).status is SagaStatus.COMPENSATED
    (failure,) = database.read(lambda c: c.execute(select(t.saga.c.failure)).scalars().all())
    assert failure["type"] == "DeadlineExceeded"


def test_each_handle_says_whether_its_saga_is_new() -> None:
    order_saga.start(Order(id="B"), key="B")
    many = [(Order(id=key), key) for key in "ABCA"]
    handles = order_saga.start_many(many)
    assert handles[0].id == handles[3].id
    assert [handle.created for handle in handles[:3]] == [True, False, True]
    assert not any(handle.created for handle in order_saga.start_many(many))
