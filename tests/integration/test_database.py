"""The record's database as one process sees it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection, Engine, create_engine, func, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from sagas import ConfigurationError, RecordNotReady
from sagas.decision import Decision, SagaState
from sagas.record import database as database_module
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database, _mariadb_connect, create_record_engine
from sagas.record.store import Store
from sagas.sql import after_now, before_now, now, statement_now
from tests.support.records import started
from tests.support.waiting import HANG_S, wait_until, waits_for_lock


@pytest.mark.parametrize(
    "url",
    ["", "not a url", "postgresql+nodriver://me@here/x", "sqlite://", "sqlite:///:memory:"],
)
def test_an_unusable_database_is_an_error_that_shows_a_usable_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="saga_database_url cannot be used") as raised:
        _ = Database(url).engine
    for example in ("postgresql+psycopg://user@host/database", "mariadb+pymysql://", "sqlite:///"):
        assert example in str(raised.value)
    assert "pip install celery-sagas[postgres] or celery-sagas[mariadb]" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@127.0.0.1:1/x",
        "mariadb+pymysql://me:hunter2@127.0.0.1:1/x",
        "postgresql+nodriver://me:hunter2@here/x",
        "postgresql:/me:hunter2@here:port/x",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises((ConfigurationError, DBAPIError)) as raised:
        Database(url, patience_s=0).read(lambda c: c.execute(text("SELECT 1")))
    assert "hunter2" not in str(raised.value)


def test_missing_tables_are_an_error_that_names_the_command(blank_database_url: str) -> None:
    database = Database(blank_database_url)
    for read in (queries.find_sagas, queries.count_by_status):
        with pytest.raises(RecordNotReady, match="sagas -A <your app> db upgrade"):
            database.read(read)
    with pytest.raises(RecordNotReady, match="db upgrade"):
        started(Store(database))
    database.dispose()


def test_a_record_of_an_older_version_is_an_error_that_names_the_command(
    database: Database,
) -> None:
    database.write(lambda c: c.execute(text("ALTER TABLE saga DROP COLUMN unconsumed")))
    with pytest.raises(RecordNotReady, match="sagas -A <your app> db upgrade"):
        started(Store(database))
    with pytest.raises(RecordNotReady, match="db upgrade"):
        database.read(lambda c: c.execute(select(t.saga)))


def test_a_missing_table_of_somebody_else_is_their_error(database: Database) -> None:
    with pytest.raises(DBAPIError, match="shop_order"):
        database.read(lambda c: c.execute(text("SELECT * FROM shop_order")))


@pytest.mark.parametrize("times", [1, 3])
def test_a_write_is_repeated_after_a_transient_error_of_the_database(
    times: int, database: Database
) -> None:
    tries = []

    def work(connection: Connection) -> str:
        tries.append(connection.scalar(text("SELECT 1")))
        if len(tries) <= times:
            raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        return "done"

    assert database.write(work) == "done"
    assert len(tries) == times + 1


def test_a_write_gives_up_when_its_time_is_up(database_url: str) -> None:
    database = Database(database_url, patience_s=0)

    def work(_: Connection) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    with pytest.raises(OperationalError, match="locked"):
        database.write(work)
    database.dispose()


def test_threads_that_come_first_at_the_same_moment_share_one_engine(tmp_path: Path) -> None:
    """The other engine would be dropped with a connection that nobody closes."""
    both = threading.Barrier(2)

    def make() -> Engine:
        both.wait(HANG_S)
        return create_engine(f"sqlite:///{tmp_path / 'record.db'}")

    database = Database(None, factory=make)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: database.engine, range(2))
    assert one is other
    database.dispose()


def test_an_invalid_statement_is_not_repeated(database: Database) -> None:
    tries: list[Any] = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        connection.execute(text("SELEKT nonsense"))

    with pytest.raises(DBAPIError, match="nonsense"):
        database.write(work)
    assert len(tries) == 1


def test_a_transaction_that_failed_halfway_writes_nothing(database: Database) -> None:
    store = Store(database)

    def work(connection: Connection) -> None:
        connection.execute(text("DELETE FROM saga_record"))
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        database.write(work)
    assert database.read(lambda c: c.scalar(text("SELECT count(*) FROM saga_record"))) == 1
    assert started(store).version == 7


def asked(database: Database, statement: str) -> Any:
    return database.read(lambda c: c.scalar(text(statement)))


def test_sqlite_is_durable_and_does_not_block_readers_during_a_write(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'saga.db'}")
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for pragma, value in wanted.items():
        assert asked(database, f"PRAGMA {pragma}") == value
    database.dispose()


#: As it is outside of the tests, none of which is to be cut short.
STALL_LIMIT_S = database_module._STALL_LIMIT_S  # noqa: SLF001


def test_postgresql_lets_nobody_keep_a_saga_locked(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_STALL_LIMIT_S", STALL_LIMIT_S)
    database = Database(postgres_url)
    limits = select(
        func.current_setting("idle_in_transaction_session_timeout"),
        func.current_setting("lock_timeout"),
    )
    assert database.write(lambda c: tuple(c.execute(limits).one())) == ("5s", "5s")
    assert asked(database, "SHOW transaction_isolation") == "read committed"
    database.dispose()


def test_mariadb_lets_nobody_keep_a_saga_locked(
    mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_STALL_LIMIT_S", STALL_LIMIT_S)
    database = Database(mariadb_url)
    for limit in ("idle_transaction_timeout", "innodb_lock_wait_timeout", "lock_wait_timeout"):
        assert asked(database, f"SELECT @@{limit}") == 5
    assert asked(database, "SELECT @@tx_isolation") == "READ-COMMITTED"
    database.dispose()


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_mariadb_is_one_record_under_both_names_of_its_dialect(name: str, mariadb_url: str) -> None:
    first, other = Database(mariadb_url), Database(f"{name}+{mariadb_url.partition('+')[2]}")
    saga_id = started(Store(first))
    assert [found.id for found in other.read(queries.find_sagas)] == [saga_id]
    first.dispose()
    other.dispose()


def test_mariadb_refuses_text_that_is_too_long(mariadb_url: str) -> None:
    database = Database(mariadb_url)
    with pytest.raises(DBAPIError, match="too long"):
        started(Store(database), "k" * 201)
    database.dispose()


def test_mysql_is_refused_with_the_reason_and_the_supported_databases() -> None:
    connection = SimpleNamespace(get_server_info=lambda: "8.4.3")
    reason = r"points to MySQL 8\.4\.3.*idle_transaction_timeout.*Use MariaDB"
    with pytest.raises(ConfigurationError, match=reason):
        _mariadb_connect(connection, None)


def test_a_write_is_repeated_on_a_new_connection_when_the_server_closed_the_first(
    server_url: str,
) -> None:
    database = Database(server_url)
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mysql": "KILL CONNECTION_ID()",
    }[database.engine.dialect.name.replace("mariadb", "mysql")]
    tries = []

    def work(connection: Connection) -> str:
        tries.append(connection)
        if len(tries) == 1:
            connection.execute(text(kill))
        connection.execute(text("SELECT 1"))
        return "done"

    assert database.write(work) == "done"
    assert len(tries) == 2
    database.dispose()


def test_one_of_two_deadlocked_writes_is_repeated(server_url: str) -> None:
    database = Database(server_url)
    ids = [started(Store(database), key) for key in ("T-1", "T-2")]
    each_has_one, tries = threading.Barrier(2), []

    def lock_both(order: list[UUID]) -> None:
        def work(connection: Connection) -> None:
            first, second = (
                select(t.saga.c.id).where(t.saga.c.id == saga_id).with_for_update()
                for saga_id in order
            )
            tries.append(order)
            connection.execute(first)
            if len(tries) <= 2:
                each_has_one.wait(timeout=HANG_S)
            connection.execute(second)

        database.write(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lock_both, [ids, ids[::-1]]))
    assert len(tries) == 3
    database.dispose()


_FAR_AWAY = {
    "postgresql": "SET LOCAL timezone = 'Asia/Karachi'",
    "mysql": "SET time_zone = '+05:00'",
    "mariadb": "SET time_zone = '+05:00'",
}


def test_the_clock_advances_within_a_transaction_and_is_utc_in_any_session_time_zone(
    database: Database,
) -> None:
    def times(connection: Connection) -> list[datetime]:
        if statement := _FAR_AWAY.get(connection.dialect.name):
            connection.execute(text(statement))
        clocks = select(now(), statement_now(), after_now(1.5), before_now(0.25))
        first = connection.scalar(select(now()))
        assert first is not None
        wait_until(lambda: datetime.now(UTC) > first + timedelta(milliseconds=5))
        found = connection.execute(clocks).one()
        return [first, *found, connection.execute(select(now())).scalar_one()]

    first, moved, began, after, before, last = database.read(times)
    # Far less than a time zone's offset, and more than any machine needs.
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=15)
    assert began <= moved
    assert timedelta(milliseconds=3) < moved - first
    # A statement reads each clock separately, and all of them before the next statement.
    rounding = timedelta(milliseconds=5)
    for found, offset_s in ((after, 1.5), (before, -0.25)):
        moment = found - timedelta(seconds=offset_s)
        assert moved - rounding < moment < last + rounding


def test_a_writer_that_waited_for_its_lock_sees_the_time_after_the_wait(
    server_url: str,
) -> None:
    database = Database(server_url)
    store = Store(database)
    saga_id = started(store)
    seen = []

    def decide(saga: SagaState) -> Decision:
        seen.append(saga.now)
        return Decision(values={"checks": saga.checks + 1})

    with ThreadPoolExecutor(1) as pool, database.engine.connect() as first:
        first.execute(update(t.saga).where(t.saga.c.id == saga_id).values(checks=7))
        waiting = pool.submit(store.transition, saga_id, decide, actor="worker 1")
        wait_until(lambda: waits_for_lock(server_url), what="the second writer waits")
        until = first.scalar(select(now()))
        first.commit()
        waiting.result(timeout=HANG_S)
    assert until is not None
    assert seen[0] >= until
    database.dispose()


# Newer Pythons warn of every fork while threads run; Celery's pool forks anyway.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_process_opens_its_own_connections(database: Database) -> None:
    database.read(lambda c: c.execute(text("SELECT 1")))
    parent = database.engine
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:  # the child must not come back into pytest
        found = b"same" if database.engine is parent else b"its own"
        os.write(write_end, found + b", read" * bool(database.read(queries.count_by_status) == {}))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100) == b"its own, read"
    assert database.engine is parent
    assert database.read(queries.count_by_status) == {}
    os.close(read_end)
    os.close(write_end)


def test_a_time_limit_that_expires_while_the_engine_is_made_is_not_reported_as_a_bad_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_late(*_: object, **__: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(database_module, "create_engine", too_late)
    with pytest.raises(SoftTimeLimitExceeded):
        create_record_engine("sqlite:///never.db")
