"""The record's primary moves to another server while the pools hold connections to the old one."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.pool import base as pool

from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.lost_server import server_is_lost
from sagas.record.migrate import upgrade
from sagas.runtime.app import Runtime
from sagas.states import SagaStatus
from tests.field.database_shop import Order, order
from tests.support.postgres_pair import Cluster, Pair, address, postgres_cluster
from tests.support.proxy import Door, door
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import running_worker


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres_cluster() as made:
        yield made


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[Pair]:
    with cluster.pair() as made:
        yield made


@pytest.fixture
def entrance(pair: Pair) -> Iterator[Door]:
    """The address that applications know; it leads to the primary, which has a record."""
    with door(pair.primary.url) as made:
        database = Database(made.url)
        upgrade(database)
        database.dispose()
        yield made


def switch(pair: Pair, entrance: Door) -> None:
    pair.switch()
    entrance.there = address(pair.standby)


def fill_pool(database: Database, *, read_only: bool = False) -> None:
    """Leave three connections in the pool, as concurrent requests do."""
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(database.engine.connect())
            connection.execute(text("SELECT 1"))
            if read_only:
                connection.exec_driver_sql(_READ_ONLY[connection.dialect.name])
                connection.commit()


_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def keys(url: str) -> set[str]:
    database = Database(url)
    found = database.read(lambda c: set(c.scalars(select(t.saga.c.key))))
    database.dispose()
    return found


def test_starts_go_to_the_new_primary_while_connections_to_the_old_one_are_alive(
    pair: Pair, entrance: Door, make_runtime: Callable[..., Runtime]
) -> None:
    runtime = make_runtime(entrance.url)
    order.start(Order(id="1"), key="before")
    fill_pool(runtime.database)
    switch(pair, entrance)
    for number in range(5):
        order.start(Order(id="2"), key=f"after-{number}")
    assert keys(pair.standby.url) == {"before", *(f"after-{number}" for number in range(5))}
    assert keys(pair.primary.url) == {"before"}


def test_a_replica_is_abandoned_once_the_address_leads_to_the_primary(
    pair: Pair, entrance: Door
) -> None:
    entrance.there = address(pair.standby)
    database = Database(entrance.url, patience_s=60)
    exists = text("SELECT count(*) FROM pg_catalog.pg_tables WHERE tablename = 'saga_alert'")
    wait_until(lambda: database.read(lambda c: c.scalar(exists)), timeout_s=HANG_S)
    fill_pool(database)
    tries = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        if len(tries) == 3:
            entrance.there = address(pair.primary)
        connection.execute(t.alert.delete())

    database.write(work)
    assert len(tries) == 4  # the third already had its connection
    database.dispose()


def test_a_worker_goes_on_without_a_restart(
    pair: Pair, entrance: Door, redis_url: str, tmp_path: Path, make_runtime: Callable[..., Runtime]
) -> None:
    make_runtime(entrance.url, broker_url=redis_url, saga_namespace="database_shop")
    env = {"SHOP_BROKER": redis_url, "SHOP_RECORD": entrance.url}
    with running_worker(
        "tests.field.database_shop", "-c", "2", log=tmp_path / "worker.log", env=env
    ) as worker:
        for name in ("before", "after"):
            handles = [
                order.start(Order(id=key, declined=key == "2"), key=f"{name}-{key}")
                for key in ("1", "2")
            ]
            ends = [handle.wait(timeout=60) for handle in handles]
            assert ends == [SagaStatus.COMPLETED, SagaStatus.COMPENSATED], worker.tail()
            if name == "before":
                switch(pair, entrance)
        assert worker.starts == 1
    assert keys(pair.standby.url) == {"before-1", "before-2", "after-1", "after-2"}


def test_every_pooled_connection_to_a_read_only_server_is_replaced(
    database_url: str, make_runtime: Callable[..., Runtime]
) -> None:
    database = make_runtime(database_url).database
    fill_pool(database, read_only=True)
    order.start(Order(id="1"), key="1")
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(database.engine.connect())
            connection.execute(t.alert.delete())
            connection.rollback()


def test_start_many_recovers_as_a_single_start_does(
    database_url: str, make_runtime: Callable[..., Runtime]
) -> None:
    fill_pool(make_runtime(database_url).database, read_only=True)
    started = order.start_many([(Order(id=str(number)), str(number)) for number in range(3)])
    assert len(started) == 3


def test_a_process_that_only_reads_leaves_the_old_primary_within_a_minute(
    pair: Pair, entrance: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(entrance.url)
    port = text("SELECT current_setting('port')")
    old = database.read(lambda c: c.scalar(port))
    switch(pair, entrance)
    assert database.read(lambda c: c.scalar(port)) == old

    a_minute_ahead = SimpleNamespace(time=lambda: time.time() + 61)
    monkeypatch.setattr(pool, "time", a_minute_ahead)
    assert database.read(lambda c: c.scalar(port)) != old
    database.dispose()


@pytest.mark.parametrize("code", [1036, 1047, 1053, 1290, 1792, 1836, 1874, 1927, 2006, 2013])
def test_every_mariadb_error_that_calls_for_another_server_is_recognised(code: int) -> None:
    assert server_is_lost(Exception(code, "as the server says it"))


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.AdminShutdown,
        psycopg.errors.CrashShutdown,
        psycopg.errors.CannotConnectNow,
        psycopg.errors.IdleSessionTimeout,
        psycopg.errors.ConnectionFailure,
        psycopg.errors.ProtocolViolation,
    ],
)
def test_every_postgresql_error_that_calls_for_another_server_is_recognised(
    error: type[psycopg.Error],
) -> None:
    assert server_is_lost(error("as the server says it"))


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.UniqueViolation(),
        Exception(1213, "Deadlock found"),
        RuntimeError("read-only"),
        None,
    ],
)
def test_other_errors_keep_the_connection(error: BaseException | None) -> None:
    assert not server_is_lost(error)
