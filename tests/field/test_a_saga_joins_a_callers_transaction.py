"""Sagas in a caller's transaction: a long one, a deadlocked one, or none at all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Executable, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sagas import ConfigurationError
from sagas.record import tables as t
from sagas.record.migrate import upgrade
from sagas.runtime.app import Runtime
from tests.field.database_shop import Order, order
from tests.support.waiting import wait_until, waits_for_lock

Make = Callable[..., Runtime]


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Return the application's own engine on the record's database."""
    names = ("database_url", "server_url", "postgres_url", "mariadb_url")
    [name] = [name for name in names if name in request.fixturenames]
    made = create_engine(request.getfixturevalue(name))
    yield made
    made.dispose()


def sagas_in(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(t.saga)) or 0


# A new plan in a long transaction


# At SERIALIZABLE, MariaDB locks what a transaction has read, including the gaps between keys.
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_the_first_start_of_a_plan_in_a_long_transaction_blocks_nobody(
    isolation: str, server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url)
    with engine.connect().execution_options(isolation_level=isolation) as connection:
        order.start(Order(id="1"), key="in a long transaction", session=connection)
        start_meanwhile(engine)
        connection.commit()
    assert sagas_in(engine) == 2


def start_meanwhile(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(order.start, Order(id="2"), key="meanwhile").result(timeout=60)
    assert sagas_in(engine) == 1


@pytest.mark.parametrize("start", ["start", "start_many"])
def test_a_transaction_that_did_other_work_first_blocks_nobody_either(
    start: str, server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url)
    with engine.connect() as connection:  # at the server's default isolation level
        connection.scalar(select(func.count()).select_from(t.record))
        if start == "start":
            order.start(Order(id="1"), key="1", session=connection)
        else:
            order.start_many([(Order(id="1"), "1")], session=connection)
        start_meanwhile(engine)
        connection.commit()
    assert sagas_in(engine) == 2


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_with_an_older_snapshot_can_start_a_new_plan(
    isolation: str, server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url)
    with engine.connect().execution_options(isolation_level=isolation) as connection:
        connection.scalar(select(func.count()).select_from(t.record))
        order.start(Order(id="1"), key="1", session=connection)
        connection.commit()
    assert sagas_in(engine) == 1


def test_a_plan_survives_the_rollback_of_its_transaction_and_its_saga_does_not(
    database_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(database_url)
    with engine.connect() as connection:
        order.start(Order(id="1"), key="1", session=connection)
        connection.rollback()
    assert sagas_in(engine) == 0
    order.start(Order(id="1"), key="1")
    assert sagas_in(engine) == 1


# Deadlocks


def overlapping(first: int, second: int) -> list[tuple[Order, str]]:
    return [(Order(id=str(number)), f"{number:02}") for number in (first, second)]


def test_start_many_inserts_its_sagas_in_the_order_of_their_keys(
    server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url)
    order.start(Order(id="0"), key="the plan is there")
    inserted: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "keys" in parameters:  # one statement for all, on PostgreSQL
            inserted.extend(parameters["keys"])
        elif statement.startswith("INSERT INTO saga "):
            rows = parameters if isinstance(parameters, list) else [parameters]
            inserted.extend(row["key"] for row in rows)

    with engine.begin() as connection:
        order.start_many([(Order(id=key), key) for key in "dbca"], session=connection)
    assert inserted == ["a", "b", "c", "d"]


def test_starts_with_overlapping_keys_do_not_deadlock(server_url: str, make_runtime: Make) -> None:
    make_runtime(server_url)
    order.start(Order(id="0"), key="the plan is there")
    many = [(Order(id=str(number)), f"{number:02}") for number in range(30)]

    def start(turn: int) -> int:
        return len(order.start_many(many if turn % 2 else many[::-1]))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(12))) == [30] * 12


def test_a_deadlock_of_the_engines_own_transaction_is_repeated(
    server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url, saga_lease_s=30)  # which is how long it is repeated
    order.start(Order(id="0"), key="the plan is there")
    with Session(engine) as session, ThreadPoolExecutor(1) as pool:
        order.start(Order(id="2"), key="02", session=session)
        ours = pool.submit(order.start_many, overlapping(1, 2))
        wait_until(lambda: waits_for_lock(server_url), timeout_s=60)
        with suppress(DBAPIError):  # the database chooses which of the two to end
            order.start(Order(id="1"), key="01", session=session)
            session.commit()
        session.rollback()
        assert len({handle.id for handle in ours.result(timeout=60)}) == 2
    assert sagas_in(engine) == 3


def test_a_deadlock_of_the_callers_transaction_is_named(
    server_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(server_url)
    order.start(Order(id="0"), key="the plan is there")
    both_have_one = threading.Barrier(2)

    def start(first: int, second: int) -> str | None:
        with Session(engine) as session:
            try:
                order.start_many(overlapping(first, first + 2), session=session)
                both_have_one.wait(timeout=60)
                order.start_many(overlapping(second, second + 2), session=session)
                session.commit()
            except DBAPIError as error:
                session.rollback()
                return str(error)
        return None

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(start, (1, 2), (2, 1)))
    [message] = [text for text in said if text is not None]
    assert "Saga 'database.order' '0" in message
    assert "ended a deadlock between this transaction and another one" in message
    assert "roll it back and run all of it again" in message
    assert "savepoint" not in message.lower()


# AUTOCOMMIT


@pytest.mark.parametrize("first", [t.alert.delete(), t.alert.select()])
def test_a_session_in_autocommit_is_refused_with_the_real_reason(
    first: Executable, database_url: str, engine: Engine, make_runtime: Make
) -> None:
    make_runtime(database_url)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(autocommit) as session:
        session.execute(first)
        with pytest.raises(ConfigurationError, match="isolation level AUTOCOMMIT") as raised:
            order.start(Order(id="1"), key="1", session=session)
        with pytest.raises(ConfigurationError, match="isolation level AUTOCOMMIT"):
            order.start_many(overlapping(1, 2), session=session)
        session.rollback()
    assert "another database" not in str(raised.value)
    assert sagas_in(engine) == 0


def test_an_engine_made_in_autocommit_is_refused(database_url: str, make_runtime: Make) -> None:
    make_runtime(database_url)
    autocommit = create_engine(database_url, isolation_level="AUTOCOMMIT")
    with (
        autocommit.connect() as connection,
        pytest.raises(ConfigurationError, match="isolation level AUTOCOMMIT"),
    ):
        order.start(Order(id="1"), session=connection)
    autocommit.dispose()


@pytest.mark.parametrize("opened", [Session, Engine.connect])
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_an_application_that_begins_its_own_sqlite_transactions_is_accepted(
    begin: str,
    opened: Callable[[Engine], Session | Connection],
    tmp_path: Path,
    make_runtime: Make,
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    upgrade(make_runtime(url).database)
    own = create_engine(url)

    @event.listens_for(own, "connect")
    def begin_nothing(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(own, "begin")
    def begin_ourselves(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    with opened(own) as session:
        order.start(Order(id="1"), key="1", session=session)
        session.rollback()
        assert sagas_in(own) == 0
        order.start(Order(id="1"), key="1", session=session)
        session.commit()
    assert sagas_in(own) == 1
    own.dispose()


# The publish


def test_a_connection_that_stays_open_publishes_right_after_its_commit(
    database_url: str, engine: Engine, make_runtime: Make, published: list[str]
) -> None:
    make_runtime(database_url)
    with engine.connect() as connection:
        for number in (1, 2):
            order.start(Order(id=str(number)), session=connection)
            assert len(published) == number - 1
            connection.commit()
            assert len(published) == number
    assert len(published) == 2


def test_a_session_on_a_connection_that_stays_open_publishes_after_the_real_commit(
    database_url: str, engine: Engine, make_runtime: Make, published: list[str]
) -> None:
    make_runtime(database_url)
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            connection.execute(t.alert.delete())  # SQLite's driver begins with a write
            order.start(Order(id="1"), session=session)
            session.commit()
        assert published == []
        outer.commit()
        assert len(published) == 1


def test_a_rolled_back_start_is_not_published_by_a_later_commit(
    database_url: str, engine: Engine, make_runtime: Make, published: list[str]
) -> None:
    make_runtime(database_url)
    with engine.connect() as connection:
        order.start(Order(id="1"), session=connection)
        connection.rollback()
        connection.execute(t.alert.delete())
        connection.commit()
    assert published == []


def test_a_two_phase_session_publishes_right_after_its_commit(
    server_url: str, engine: Engine, make_runtime: Make, published: list[str]
) -> None:
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            if connection.scalar(text("SHOW max_prepared_transactions")) == "0":
                pytest.skip("this PostgreSQL does not allow prepared transactions")
    make_runtime(server_url)
    with Session(engine, twophase=True) as session:
        order.start(Order(id="1"), session=session)
        session.prepare()
        assert published == []
        session.commit()
        assert len(published) == 1
        order.start(Order(id="2"), session=session)
        session.rollback()
        session.execute(t.alert.delete())
        session.commit()
        assert len(published) == 1
    assert sagas_in(engine) == 1


def test_a_commit_that_fails_publishes_nothing(
    postgres_url: str, engine: Engine, make_runtime: Make, published: list[str]
) -> None:
    make_runtime(postgres_url)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE once (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        connection.commit()
        connection.execute(text("INSERT INTO once VALUES (1), (1)"))
        order.start(Order(id="1"), session=connection)
        with pytest.raises(DBAPIError, match="once_id_key"):
            connection.commit()
        connection.rollback()
        connection.execute(t.alert.delete())
        connection.commit()
    assert published == []
    assert sagas_in(engine) == 0
