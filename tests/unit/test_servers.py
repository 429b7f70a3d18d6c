"""The servers that the tests bring."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from kombu.connection import Connection as BrokerConnection
from sqlalchemy import Connection, NullPool, create_engine, func, inspect, select, text

from sagas.record import tables
from sagas.record.migrate import VERSION_TABLE
from tests.support.brokers import Broker, real_rabbitmq_url
from tests.support.mariadb import real_mariadb_url
from tests.support.servers import DatabaseServer, PostgresServer, real_redis_url
from tests.support.waiting import wait_until

SERVERS = ["sqlite", "postgresql", *(["mariadb"] if real_mariadb_url() else [])]

TABLES = {*tables.metadata.tables, VERSION_TABLE}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def test_a_blank_database_is_empty(blank_database_url: str) -> None:
    with connected(blank_database_url) as connection:
        assert inspect(connection).get_table_names() == []


def test_a_database_has_the_tables_of_the_record_without_a_row(database_url: str) -> None:
    with connected(database_url) as connection:
        assert connection.scalar(text("SELECT count(*) FROM saga_history")) == 0


def test_postgres_url_is_a_postgresql_database(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        assert connection.dialect.name == "postgresql"


@pytest.mark.parametrize("server", SERVERS)
def test_databases_do_not_see_each_other(
    server: str, blank_server: Callable[[str], DatabaseServer]
) -> None:
    with blank_server(server).database() as one, blank_server(server).database() as other:
        with connected(one) as connection:
            connection.execute(text("CREATE TABLE seen (id integer)"))
        with connected(other) as connection:
            assert inspect(connection).get_table_names() == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_database_starts_as_a_copy_of_the_template(
    server: str, blank_server: Callable[[str], DatabaseServer]
) -> None:
    def fill(url: str) -> None:
        with connected(url) as connection:
            connection.execute(text("CREATE TABLE filled (id integer)"))

    with (
        blank_server(server).with_template(fill) as filled,
        filled.database() as url,
        connected(url) as connection,
    ):
        assert inspect(connection).get_table_names() == ["filled"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_database_matches_the_template_whatever_happened_to_the_previous_one(
    server: str, record_server: Callable[[str], DatabaseServer]
) -> None:
    changes = [
        "DELETE FROM saga_record",
        "INSERT INTO saga_plan VALUES ('h', 'n', 'b', '2026-01-01')",
        "CREATE TABLE more (id integer)",
        "ALTER TABLE saga_worker ADD COLUMN more integer",
    ]
    for change in changes:
        with record_server(server).database() as url, connected(url) as connection:
            connection.execute(text(change))
        with record_server(server).database() as url, connected(url) as connection:
            assert set(inspect(connection).get_table_names()) == TABLES
            assert "more" not in {c["name"] for c in inspect(connection).get_columns("saga_worker")}
            for table, rows in ((tables.record, 1), (tables.plan, 0)):
                assert connection.scalar(select(func.count()).select_from(table)) == rows


def test_a_postgresql_database_is_dropped_even_while_it_is_in_use(
    blank_server: Callable[[str], DatabaseServer],
) -> None:
    server = blank_server("postgresql")
    assert isinstance(server, PostgresServer)
    with server.database() as url:
        left_open = create_engine(url).connect()
    left_open.invalidate()
    with connected(server.url) as connection:
        names = connection.scalars(text("SELECT datname FROM pg_database")).all()
    assert url.rpartition("/")[2].partition("?")[0] not in names


@pytest.mark.parametrize("run", ["first", "second"])
def test_redis_is_empty_whatever_the_previous_test_left(redis_url: str, run: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left behind by", run)


def test_a_test_with_broker_and_database_runs_on_every_server_but_not_on_every_pair(
    broker: Broker, database_url: str, request: pytest.FixtureRequest
) -> None:
    assert broker.url
    assert database_url
    assert "embedded-postgresql-server" not in request.node.name or not real_redis_url()
    assert "embedded-mariadb" not in request.node.name or not real_rabbitmq_url()


def test_a_broker_is_empty_and_can_lose_its_messages(broker: Broker) -> None:
    with BrokerConnection(broker.url) as connection, connection.SimpleQueue(broker.queue) as queue:
        with pytest.raises(queue.Empty):
            queue.get_nowait()
        queue.put("a message")
        wait_until(lambda: queue.qsize() == 1, what="the message is there")
        broker.lose_everything()
        with pytest.raises(queue.Empty):
            queue.get_nowait()


def test_a_real_redis_without_a_database_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAS_TEST_REDIS_URL", "redis://127.0.0.1:6379")
    with pytest.raises(ValueError, match="must end in a database number"):
        real_redis_url()


def test_waiting_returns_the_first_true_value() -> None:
    values = iter([0, 0, 3])
    assert wait_until(lambda: next(values)) == 3


def test_waiting_fails_at_its_deadline_and_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        wait_until(lambda: False, timeout_s=0.05, what="the moon")
