"""The record's database as one process sees it."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from sagas import ConfigurationError, RecordNotReady
from sagas.record import queries
from sagas.record.database import Database
from sagas.record.store import Store
from tests.integration.records import started


@pytest.mark.parametrize(
    "url",
    ["", "not a url", "postgresql+nodriver://me@here/x", "sqlite://", "sqlite:///:memory:"],
)
def test_a_database_that_cannot_be_used_is_an_error_that_shows_one_that_can(url: str) -> None:
    with pytest.raises(ConfigurationError, match="saga_database_url cannot be used") as raised:
        _ = Database(url).engine
    assert "postgresql+psycopg://user@host/database" in str(raised.value)
    assert "pip install celery-sagas[postgres]" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@127.0.0.1:1/x",
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


def test_a_table_of_somebody_else_that_is_missing_is_their_error(database: Database) -> None:
    with pytest.raises(DBAPIError, match="shop_order"):
        database.read(lambda c: c.execute(text("SELECT * FROM shop_order")))


@pytest.mark.parametrize("times", [1, 3])
def test_a_write_is_repeated_while_the_database_is_in_the_way(
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


def test_a_write_gives_up_when_its_patience_is_at_an_end(database_url: str) -> None:
    database = Database(database_url, patience_s=0)

    def work(_: Connection) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    with pytest.raises(OperationalError, match="locked"):
        database.write(work)
    database.dispose()


def test_a_statement_that_is_wrong_is_not_repeated(database: Database) -> None:
    tries: list[Any] = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        connection.execute(text("SELECT nonsense"))

    with pytest.raises(DBAPIError, match="nonsense"):
        database.write(work)
    assert len(tries) == 1


def test_what_failed_half_way_is_not_written(database: Database) -> None:
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


def test_sqlite_is_durable_and_lets_readers_read_while_one_writes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'saga.db'}")
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for pragma, value in wanted.items():
        assert asked(database, f"PRAGMA {pragma}") == value
    database.dispose()


def test_postgresql_lets_nobody_keep_a_saga_locked(postgres_url: str) -> None:
    database = Database(postgres_url)
    assert asked(database, "SHOW idle_in_transaction_session_timeout") == "5s"
    assert asked(database, "SHOW lock_timeout") == "5s"
    assert asked(database, "SHOW transaction_isolation") == "read committed"
    database.dispose()


# With threads about, newer Pythons warn of every fork; Celery's pool forks all the same.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_process_opens_connections_of_its_own(database: Database) -> None:
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
