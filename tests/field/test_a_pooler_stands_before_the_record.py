"""The record behind pgbouncer in transaction mode, which shares sessions between clients."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Connection, NullPool, make_url, text

from sagas import ConfigurationError
from sagas.record.database import Database, create_record_engine
from sagas.record.migrate import upgrade
from sagas.runtime.app import Runtime
from sagas.runtime.settings import Settings
from sagas.states import SagaStatus
from tests.field.database_shop import Order, order
from tests.support.pgbouncer import find_pgbouncer, pgbouncer
from tests.support.workers import running_worker

needs_pgbouncer = pytest.mark.skipif(
    find_pgbouncer() is None, reason="pgbouncer is not installed: apt-get install pgbouncer"
)


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """Return the URL of a record behind a pooler."""
    with pgbouncer(postgres_url) as url:
        yield url


@needs_pgbouncer
def test_many_clients_share_few_sessions_and_every_saga_ends_correctly(
    pooled_url: str, redis_url: str, tmp_path: Path, make_runtime: Callable[..., Runtime]
) -> None:
    make_runtime(pooled_url, broker_url=redis_url, saga_namespace="database_shop")
    env = {"SHOP_BROKER": redis_url, "SHOP_RECORD": pooled_url}
    with running_worker(
        "tests.field.database_shop", "-c", "3", log=tmp_path / "worker.log", env=env
    ) as worker:
        handles = [
            order.start(Order(id=str(number), declined=number % 4 == 0), key=str(number))
            for number in range(20)
        ]
        handles += order.start_many([(Order(id=str(n)), str(n)) for n in range(20, 40)])
        ends = Counter(handle.wait(timeout=60) for handle in handles)
        assert ends == {SagaStatus.COMPLETED: 35, SagaStatus.COMPENSATED: 5}, worker.tail()
        log = worker.log.read_text()
    assert "prepared statement" not in log
    assert "Traceback" not in log


@needs_pgbouncer
def test_the_record_is_upgraded_through_a_pooler(postgres_url: str) -> None:
    with pgbouncer(postgres_url) as url:
        database = Database(url)
        database.write(lambda c: c.execute(text("DROP SCHEMA public CASCADE")))
        database.write(lambda c: c.execute(text("CREATE SCHEMA public")))
        upgrade(database)
        database.dispose()


@needs_pgbouncer
def test_other_applications_of_the_pool_keep_their_own_settings(
    pooled_url: str, make_runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagas.record.database._STALL_LIMIT_S", 5)  # as outside of the tests
    database = make_runtime(pooled_url).database
    all_in = threading.Barrier(_SESSIONS)  # so that every session is used

    def work(connection: Connection) -> tuple[Any, set[str]]:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        all_in.wait(timeout=60)
        return backend, {connection.scalar(text(f"SHOW {limit}")) for limit in _LIMITS}

    with ThreadPoolExecutor(_SESSIONS) as pool:
        written = list(pool.map(lambda _: database.write(work), range(_SESSIONS)))
    assert all(limits == {"5s"} for _, limits in written)
    address = make_url(pooled_url)
    seen = {}
    with ExitStack() as stack:
        for _ in range(_SESSIONS):
            other = stack.enter_context(
                psycopg.connect(
                    host=address.host,
                    port=address.port,
                    dbname=address.database,
                    user=address.username,
                    prepare_threshold=None,
                )
            )
            backend = one(other, "SELECT pg_backend_pid()")
            seen[backend] = {one(other, f"SHOW {limit}") for limit in _LIMITS}
    assert seen == {backend: {"0"} for backend, _ in written}


_SESSIONS = 4
_LIMITS = ("lock_timeout", "idle_in_transaction_session_timeout")


def one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(("value", "read"), [("0", 0), ("7", 7), ("none", None), ("None", None)])
def test_an_option_in_the_url_has_the_type_that_the_driver_expects(
    value: str, read: int | None, postgres_url: str
) -> None:
    url = make_url(postgres_url).update_query_dict({"prepare_threshold": value})
    assert driver_connection(url).prepare_threshold == read


def test_nothing_is_prepared_unless_it_is_requested(postgres_url: str) -> None:
    assert driver_connection(postgres_url).prepare_threshold is None
    options = {"connect_args": {"prepare_threshold": 3}}
    assert driver_connection(postgres_url, options).prepare_threshold == 3


def driver_connection(url: str | URL, options: dict[str, Any] | None = None) -> Any:
    engine = create_record_engine(url, options)
    with engine.connect() as connection:
        found = connection.connection.dbapi_connection
    engine.dispose()
    return found


def test_an_option_in_mariadbs_url_has_the_type_that_the_driver_expects(mariadb_url: str) -> None:
    url = make_url(mariadb_url).update_query_dict({"max_allowed_packet": "1048576"})
    assert driver_connection(url).max_allowed_packet == 1_048_576


def test_an_option_in_the_url_that_is_not_a_number_is_named() -> None:
    with pytest.raises(ConfigurationError, match="prepare_threshold='often'"):
        create_record_engine("postgresql+psycopg://me@here/x?prepare_threshold=often")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me@here/x?autocommit=true",
        "mariadb+pymysql://me@here/x?autocommit=true",
        "sqlite:////tmp/never/x.db?isolation_level=IMMEDIATE",
    ],
)
def test_a_url_cannot_turn_transactions_off(url: str) -> None:
    with pytest.raises(ConfigurationError, match="saga_database_url sets autocommit"):
        create_record_engine(url)


def test_the_settings_reach_the_pool_and_the_driver(
    postgres_url: str, make_runtime: Callable[..., Runtime]
) -> None:
    options = {"pool_size": 1, "connect_args": {"application_name": "field"}}
    database = make_runtime(postgres_url, saga_database_options=options).database
    assert database.read(lambda c: c.scalar(text("SHOW application_name"))) == "field"
    assert database.read(lambda c: c.scalar(text("SHOW lock_timeout"))) == "0"
    assert database.engine.pool.status().startswith("Pool size: 1")


def test_a_pooler_may_be_the_only_pool(
    database_url: str, make_runtime: Callable[..., Runtime]
) -> None:
    runtime = make_runtime(database_url, saga_database_options={"poolclass": NullPool})
    order.start(Order(id="1"), key="1")
    assert isinstance(runtime.database.engine.pool, NullPool)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["pool_size"], "is a mapping, not list"),
        ("pool_size=1", "is a mapping, not str"),
        ({"pool_sise": 1}, "unknown options: pool_sise. It takes connect_args, max_overflow"),
        ({"isolation_level": "AUTOCOMMIT"}, "unknown options: isolation_level"),
        ({"pool_size": "5"}, "pool_size = '5': give a number"),
        ({"pool_size": True}, "pool_size = True: give a number"),
        ({"pool_pre_ping": 1}, "pool_pre_ping = 1: give True or False"),
        ({"poolclass": "NullPool"}, "poolclass = 'NullPool': give a class of sqlalchemy.pool"),
        ({"connect_args": [("a", 1)]}, "connect_args is a mapping"),
        ({"connect_args": {"autocommit": True}}, "sets autocommit"),
    ],
)
def test_options_that_cannot_work_are_refused_when_the_settings_are_read(
    options: Any, said: str
) -> None:
    conf = {"saga_database_url": "sqlite:///x.db", "saga_database_options": options}
    with pytest.raises(ConfigurationError, match=said):
        Settings.read(conf)
