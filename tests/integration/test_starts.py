"""Starting sagas: alone and in the caller's transaction."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import sagas
from sagas import (
    InvalidInput,
    InvalidKey,
    KeyConflict,
    RecordNotReady,
    SagaNotFound,
    WaitTimeout,
    WrongDatabase,
)
from sagas.record import due
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.runtime import app as runtime_app
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import SagaStatus
from tests.integration.outbox import Outbox
from tests.support.proxy import Door
from tests.support.records import count, events, saga_row
from tests.support.shop import Order, metadata, order_saga, orders, quiet_saga, shared_saga
from tests.support.waiting import HANG_S, wait_until, waits_for_lock

FIRST = "shop.reserve"

pytestmark = pytest.mark.usefixtures("app")


# In its own transaction.


def test_a_saga_is_in_the_record_when_start_returns_and_is_published_afterwards(
    database: Database, outbox: Outbox
) -> None:
    handle = order_saga.start(Order(), key="ORD-1")
    assert outbox.of(handle.id) == [FIRST]
    assert (handle.key, handle.status) == ("ORD-1", SagaStatus.STARTED)
    assert order_saga.get(key="ORD-1").id == sagas.get(str(handle.id)).id == handle.id
    row = saga_row(database, handle.id)
    assert row.input == '{"id":"ORD-1","total":"1.10","notify":true,"tags":[]}'
    assert (row.epoch, row.plan) == (1, order_saga.plan.hash)
    assert row.due_at > row.started_at


def test_the_message_is_on_the_broker_and_carries_only_ids(app: Celery) -> None:
    handle = order_saga.start(Order(total=Decimal("777.77")), key="ORD-1")
    with app.connection_for_read() as connection, connection.SimpleQueue(queue_of(app)) as queue:
        message = queue.get(block=False)
    assert message.payload[0] == [str(handle.id), FIRST, 1]
    assert "777.77" not in str(message.payload) + str(message.headers)
    assert "ORD-1" in message.headers["argsrepr"]
    assert str(handle.id) in message.headers["argsrepr"]


def queue_of(app: Celery) -> str:
    return str(app.conf.task_default_queue)


def test_a_saga_without_a_key_has_its_id_as_its_key() -> None:
    handle = order_saga.start(Order())
    assert handle.key == str(handle.id)


def test_the_same_key_and_input_again_are_the_same_saga_published_once(
    database: Database, outbox: Outbox
) -> None:
    first = order_saga.start(Order(), key="ORD-1")
    again = order_saga.start(Order(), key="ORD-1")
    assert again.id == first.id
    assert (first.created, again.created) == (True, False)
    assert not order_saga.get(key="ORD-1").created
    assert outbox.of(first.id) == [FIRST]
    assert count(database, t.saga) == 1
    assert events(database, first.id) == ["STARTED"]


def test_equal_inputs_are_the_same_whatever_the_order_of_their_sets() -> None:
    # Equal sets that iterate, and so serialise, in different orders.
    one, other = Order(tags={0, 8}), Order(tags={8, 0})
    assert one == other
    assert one.model_dump_json() != other.model_dump_json()
    first = order_saga.start(one, key="ORD-1")
    assert order_saga.start(other, key="ORD-1").id == first.id


def test_the_same_key_with_another_input_is_refused(database: Database, outbox: Outbox) -> None:
    first = order_saga.start(Order(total=Decimal("1.10")), key="ORD-1")
    with pytest.raises(KeyConflict) as raised:
        order_saga.start(Order(total=Decimal("1.11")), key="ORD-1")
    assert f"Saga 'shop.order' with key 'ORD-1' exists already ({first.id})" in str(raised.value)
    assert "Use a new key" in str(raised.value)
    assert "1.11" not in str(raised.value)
    assert count(database, t.saga) == 1
    assert len(outbox.messages) == 1


def test_a_key_is_taken_only_within_one_saga() -> None:
    one, other = order_saga.start(Order(), key="1"), shared_saga.start(Order(), key="1")
    assert one.id != other.id


def test_simultaneous_starts_of_one_saga_all_return_the_same_one(
    database: Database, outbox: Outbox, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_app, "_bound", [runtime])  # as in a program with one app
    both = threading.Barrier(4)

    def start(_: int) -> object:
        both.wait(timeout=HANG_S)
        return order_saga.start(Order(), key="ORD-1").id

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(start, range(4)))
    assert len(ids) == 1
    assert count(database, t.saga) == 1
    assert len(outbox.messages) == 1


def test_an_invalid_input_leaves_no_row(database: Database, outbox: Outbox) -> None:
    nonsense: Any = {"total": "much"}
    with pytest.raises(ValidationError, match="total"):
        order_saga.start(nonsense, key="ORD-1")
    assert_nothing(database, outbox)


def test_an_input_that_was_corrupted_after_its_creation_leaves_no_row(
    database: Database, outbox: Outbox
) -> None:
    order = Order()
    order.total = "much"  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match=r"Order cannot be read back.* total"):
        order_saga.start(order, key="ORD-1")
    assert_nothing(database, outbox)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "a\x00b", "\ud800", 7], ids=repr)
def test_a_key_that_cannot_be_stored_and_searched_leaves_no_row(
    key: Any, database: Database, outbox: Outbox
) -> None:
    with pytest.raises(InvalidKey, match="1 to 200 printable characters"):
        order_saga.start(Order(), key=key)
    assert_nothing(database, outbox)


@pytest.mark.parametrize("key", ["x", "x" * 200, "Größe 7 / \U0001f600", "'; DROP TABLE saga; --"])
def test_any_printable_key_is_stored_and_found(key: str) -> None:
    handle = order_saga.start(Order(), key=key)
    assert order_saga.get(key=key).id == handle.id
    assert handle.key == key


def assert_nothing(database: Database, outbox: Outbox) -> None:
    assert count(database, t.saga) == count(database, t.history) == 0
    assert not outbox.messages


def test_a_step_whose_condition_is_false_is_skipped_from_the_start(
    database: Database, outbox: Outbox
) -> None:
    handle = order_saga.start(Order(notify=False), key="ORD-1")
    assert outbox.of(handle.id) == [FIRST]
    assert events(database, handle.id) == ["STARTED", "shop.notify SKIPPED"]


def test_a_saga_with_nothing_to_do_is_left_to_the_sweep(database: Database, outbox: Outbox) -> None:
    handle = quiet_saga.start(Order(notify=False), key="ORD-1")
    assert not outbox.messages
    assert saga_row(database, handle.id).due_at is not None


def test_waiting_for_a_saga_returns_at_its_end_or_says_that_it_still_runs() -> None:
    handle = order_saga.start(Order())
    with pytest.raises(WaitTimeout, match=f"Saga {handle.id} is still STARTED after 0.02 s"):
        handle.wait(timeout=0.02)


def test_an_unknown_saga_is_not_found() -> None:
    with pytest.raises(SagaNotFound, match=r"no saga 'shop\.order' with the key 'X'"):
        order_saga.get(key="X")
    with pytest.raises(SagaNotFound, match="no saga 00000000-0000-0000-0000-000000000000"):
        sagas.get("00000000-0000-0000-0000-000000000000")
    with pytest.raises(SagaNotFound, match="'ORD-1' is not a saga id"):
        sagas.get("ORD-1")


# In the caller's transaction.

Open = Callable[[Engine], Any]


@contextmanager
def in_session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@contextmanager
def in_connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


@contextmanager
def in_scoped_session(engine: Engine) -> Iterator[Any]:
    scoped = scoped_session(sessionmaker(engine))
    yield scoped
    scoped.remove()


@contextmanager
def in_engine_with_options(engine: Engine) -> Iterator[Session]:
    with Session(engine.execution_options(application="shop")) as session:
        yield session


EVERY_KIND = pytest.mark.parametrize(
    "opened", [in_session, in_connection, in_scoped_session, in_engine_with_options]
)


def place(session: Any, order: Order) -> sagas.SagaHandle:
    """Write the business row and start the saga, as applications do."""
    session.execute(insert(orders).values(id=order.id))
    return order_saga.start(order, key=order.id, session=session)


def numbers(engine: Engine) -> tuple[int, int]:
    """Return the number of orders and the number of sagas."""
    with engine.connect() as connection:
        found = [
            connection.scalar(select(func.count()).select_from(table)) for table in (orders, t.saga)
        ]
    return found[0] or 0, found[1] or 0


@EVERY_KIND
def test_a_commit_keeps_the_order_and_its_saga_and_then_publishes(
    opened: Open, engine: Engine, outbox: Outbox
) -> None:
    with opened(engine) as session:
        handle = place(session, Order())
        assert not outbox.messages
        session.commit()
    assert numbers(engine) == (1, 1)
    assert outbox.of(handle.id) == [FIRST]
    assert handle.status is SagaStatus.STARTED


@EVERY_KIND
def test_a_rollback_removes_both_and_publishes_nothing(
    opened: Open, engine: Engine, outbox: Outbox
) -> None:
    with opened(engine) as session:
        handle = place(session, Order())
        session.rollback()
        session.commit()
    assert numbers(engine) == (0, 0)
    assert not outbox.messages
    with pytest.raises(SagaNotFound, match="Was its start rolled back"):
        _ = handle.status


@EVERY_KIND
def test_a_session_that_is_closed_without_a_commit_publishes_nothing(
    opened: Open, engine: Engine, outbox: Outbox
) -> None:
    with opened(engine) as session:
        place(session, Order())
    assert numbers(engine) == (0, 0)
    assert not outbox.messages
    with opened(engine) as session:  # the same connection, now used by somebody else
        session.execute(insert(orders).values(id="ORD-2"))
        session.commit()
    assert not outbox.messages


def test_an_error_in_the_block_removes_both(engine: Engine, outbox: Outbox) -> None:
    def fail() -> None:
        with Session(engine) as session, session.begin():
            place(session, Order())
            raise RuntimeError("of the block")

    with pytest.raises(RuntimeError, match="of the block"):
        fail()
    assert numbers(engine) == (0, 0)
    assert not outbox.messages


@pytest.mark.parametrize("begin", ["session", "connection"])
def test_a_block_that_begins_a_transaction_publishes_at_its_end(
    begin: str, engine: Engine, outbox: Outbox
) -> None:
    if begin == "session":
        with Session(engine) as session, session.begin():
            handle = place(session, Order())
            assert not outbox.messages
    else:
        with engine.begin() as connection:
            handle = place(connection, Order())
            assert not outbox.messages
    assert outbox.of(handle.id) == [FIRST]


def test_several_sagas_of_one_transaction_are_all_published(engine: Engine, outbox: Outbox) -> None:
    with Session(engine) as session, session.begin():
        handles = [place(session, Order(id=f"ORD-{number}")) for number in range(3)]
    assert [outbox.of(handle.id) for handle in handles] == [[FIRST]] * 3
    assert numbers(engine) == (3, 3)


def test_a_saga_that_is_started_twice_in_one_transaction_is_published_once(
    engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session, session.begin():
        first = order_saga.start(Order(), key="ORD-1", session=session)
        again = order_saga.start(Order(), key="ORD-1", session=session)
    assert first.id == again.id
    assert outbox.of(first.id) == [FIRST]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_rolled_back_savepoint_rolls_its_saga_back(
    end: str, engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(insert(orders).values(id="ORD-0"))
        savepoint = session.begin_nested()
        handle = place(session, Order())
        getattr(savepoint, end)()
        assert not outbox.messages
    if end == "commit":
        assert numbers(engine) == (2, 1)
        assert outbox.of(handle.id) == [FIRST]
    else:
        assert numbers(engine) == (1, 0)
        assert not [message for message in outbox.messages if message.committed]


def test_a_key_whose_savepoint_was_rolled_back_is_free_again_and_published(
    engine: Engine, outbox: Outbox
) -> None:
    with Session(engine) as session, session.begin():
        savepoint = session.begin_nested()
        place(session, Order())
        savepoint.rollback()
        handle = place(session, Order())
    assert numbers(engine) == (1, 1)
    assert outbox.of(handle.id) == [FIRST]


def test_an_engine_whose_execution_options_were_set_first_still_publishes(
    engine: Engine, outbox: Outbox
) -> None:
    with in_engine_with_options(engine) as session:
        first = place(session, Order(id="ORD-1"))
        session.commit()
    with Session(engine) as session, session.begin():
        second = place(session, Order(id="ORD-2"))
    assert outbox.of(first.id) == [FIRST]
    assert outbox.of(second.id) == [FIRST]


def test_an_engine_whose_pool_was_recreated_publishes_once(engine: Engine, outbox: Outbox) -> None:
    for number in range(3):
        with Session(engine) as session, session.begin():
            handle = place(session, Order(id=f"ORD-{number}"))
        assert outbox.of(handle.id) == [FIRST]
        engine.dispose()


def test_a_conflict_leaves_the_callers_transaction_usable(engine: Engine, outbox: Outbox) -> None:
    order_saga.start(Order(), key="ORD-1")
    with Session(engine) as session, session.begin():
        session.execute(insert(orders).values(id="ORD-1"))
        with pytest.raises(KeyConflict):
            order_saga.start(Order(notify=False), key="ORD-1", session=session)
    assert numbers(engine) == (1, 1)
    assert len(outbox.messages) == 1


def test_an_invalid_input_leaves_the_callers_transaction_usable(engine: Engine) -> None:
    nonsense: Any = {"total": "much"}
    with Session(engine) as session, session.begin():
        session.execute(insert(orders).values(id="ORD-1"))
        with pytest.raises(ValidationError):
            order_saga.start(nonsense, session=session)
    assert numbers(engine) == (1, 0)


@pytest.mark.parametrize("record", ["none", "another"])
def test_a_session_on_another_database_is_refused_and_stays_usable(
    record: str, blank_database_url: str, outbox: Outbox
) -> None:
    elsewhere = create_engine(blank_database_url)
    metadata.create_all(elsewhere)
    if record == "another":
        other = Database(blank_database_url)
        upgrade(other)
        other.dispose()
    with Session(elsewhere) as session, session.begin():
        session.execute(insert(orders).values(id="ORD-1"))
        with pytest.raises(WrongDatabase) as raised:
            order_saga.start(Order(), key="ORD-1", session=session)
        session.execute(insert(orders).values(id="ORD-2"))
    with elsewhere.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(orders)) == 2
    elsewhere.dispose()
    assert "not the database of the record (saga_database_url)" in str(raised.value)
    assert "nothing was started" in str(raised.value)
    assert not outbox.messages


#: How to ask a server for the id of a connection, and how somebody else closes it.
_CUT = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
    "mysql": ("SELECT connection_id()", "KILL {}"),
}
_CUT["mariadb"] = _CUT["mysql"]


def test_a_session_that_is_cut_off_is_not_reported_as_on_another_database(
    server_url: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.app.conf.update(saga_database_url=server_url)
    monkeypatch.setattr(runtime_app, "_bound", [runtime])
    engine = create_engine(server_url)
    number, cut = _CUT[engine.dialect.name]
    with Session(engine) as session:
        own = session.scalar(text(number))
        with engine.connect() as other:
            other.execute(text(cut.format(own)))
        with pytest.raises(DBAPIError):
            order_saga.start(Order(), key="ORD-1", session=session)
    engine.dispose()


def test_a_start_that_waits_for_another_with_the_same_key_returns_that_saga(
    server_url: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.app.conf.update(saga_database_url=server_url)
    monkeypatch.setattr(runtime_app, "_bound", [runtime])
    first_engine = create_engine(server_url)
    with first_engine.connect() as first, ThreadPoolExecutor(1) as pool:
        handle = order_saga.start(Order(), key="ORD-1", session=first)
        waiting = pool.submit(order_saga.start, Order(), key="ORD-1")
        wait_until(lambda: waits_for_lock(server_url), what="the second start waits")
        assert not waiting.done()
        first.commit()
        assert waiting.result(timeout=HANG_S).id == handle.id
    first_engine.dispose()


def test_a_start_in_a_transaction_that_already_read_returns_that_saga(
    server_url: str, app: Celery
) -> None:
    # MariaDB's default: the transaction keeps its first snapshot of the data.
    app.conf.update(saga_database_url=server_url)
    level = "READ COMMITTED" if server_url.startswith("postgresql") else "REPEATABLE READ"
    own = create_engine(server_url, isolation_level=level)
    with own.begin() as late:
        assert late.scalar(select(func.count()).select_from(t.saga)) == 0
        first = order_saga.start(Order(), key="ORD-1")
        assert order_saga.start(Order(), key="ORD-1", session=late).id == first.id
    own.dispose()


def test_keys_that_differ_only_in_case_or_a_space_are_different(database: Database) -> None:
    keys = ("ord-1", "ORD-1", "Ord-1", "ord-1 ", "örd-1", "\N{SMILING FACE WITH SMILING EYES}")
    ids = {key: order_saga.start(Order(), key=key).id for key in keys}
    assert len(set(ids.values())) == count(database, t.saga) == len(keys)
    assert {key: order_saga.get(key=key).id for key in keys} == ids


def test_an_input_may_be_long(database: Database) -> None:
    order = Order(id="\N{SMILING FACE WITH SMILING EYES}" * 50_000)
    handle = order_saga.start(order, key="ORD-1")
    assert Order.model_validate_json(saga_row(database, handle.id).input) == order


# Something is missing or down.


def test_missing_tables_are_an_error_that_names_the_command(
    blank_database_url: str, app: Celery, outbox: Outbox
) -> None:
    app.conf.update(saga_database_url=blank_database_url)
    with pytest.raises(RecordNotReady, match="sagas -A <your app> db upgrade"):
        order_saga.start(Order())
    elsewhere = create_engine(blank_database_url)
    with Session(elsewhere) as session, pytest.raises(RecordNotReady, match="db upgrade"):
        order_saga.start(Order(), session=session)
    elsewhere.dispose()
    assert not outbox.messages


def test_tables_that_are_created_later_are_found_by_the_same_process(
    blank_database_url: str, app: Celery
) -> None:
    app.conf.update(saga_database_url=blank_database_url)
    with pytest.raises(RecordNotReady):
        order_saga.start(Order())
    upgrade(runtime_of(app).database)
    assert order_saga.start(Order()).status is SagaStatus.STARTED


@pytest.mark.parametrize("within", [True, False], ids=["in a session", "alone"])
def test_a_broker_that_is_down_causes_no_error_for_the_caller_and_the_saga_is_due(
    within: bool,  # noqa: FBT001
    app: Celery,
    engine: Engine,
    database: Database,
    closed_broker: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.conf.update(broker_url=closed_broker.url, saga_lease_s=0.1)
    if within:
        with Session(engine) as session, session.begin():
            handle = place(session, Order())
    else:
        handle = order_saga.start(Order(), key="ORD-1")
    assert closed_broker.turned_away <= 2, "it is asked once, and once more"
    assert "the broker did not accept the next message" in caplog.text
    assert str(handle.id) in caplog.text
    assert handle.status is SagaStatus.STARTED
    wait_until(lambda: database.read(due.any_due), what="the saga is due")
    assert database.write(lambda c: due.reserve_due(c, limit=9, reservation_s=9)) == [handle.id]


def test_a_broker_that_is_down_is_not_tried_again_at_every_start(
    app: Celery, closed_broker: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagas.runtime.messages.BROKER_REST_S", HANG_S)
    app.conf.update(broker_url=closed_broker.url)
    order_saga.start(Order())
    asked = closed_broker.turned_away
    assert asked
    for _ in range(20):
        order_saga.start(Order())
    assert closed_broker.turned_away == asked


def test_without_an_app_the_error_says_what_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_app, "_bound", [])
    with pytest.raises(sagas.ConfigurationError, match=r"Call sagas\.setup\(app\) once"):
        runtime_of(Celery("nobody", set_as_current=False))


def test_an_app_is_set_up_once(app: Celery) -> None:
    runtime = runtime_of(app)
    sagas.setup(app)
    assert runtime_of(app) is runtime
    assert runtime_of() is runtime


@pytest.mark.parametrize("number", random.Random(7).sample(range(10**6), 3))
def test_json_starts_the_same_saga_as_its_input(number: int) -> None:
    order = Order(id=f"ORD-{number}", total=Decimal(number) / 100)
    by_json = order_saga.start_json(order.model_dump_json(), key=order.id)
    assert order_saga.start(order, key=order.id).id == by_json.id
