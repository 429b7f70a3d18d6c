"""The servers of a test run, and a separate database for every test.

Tests always run on the private servers. They also run on the real ones that
``SAGAS_TEST_REDIS_URL``, ``SAGAS_TEST_RABBITMQ_URL``, ``SAGAS_TEST_POSTGRES_URL`` or
``SAGAS_TEST_MARIADB_URL`` name: each fixture here stands for one run on each of its servers.
"""

import importlib
import signal
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from weakref import WeakSet

import pytest
from celery import Celery
from celery import _state as celery_state
from hypothesis import settings as hypothesis_settings

import sagas
from sagas.dev import embedded_broker
from sagas.record import database as database_module
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.store import Store
from sagas.runtime import app as app_module
from sagas.runtime import queues
from sagas.runtime.app import Runtime, runtime_of
from tests.support.brokers import Broker, RedisBroker, empty_rabbit, real_rabbitmq_url
from tests.support.command_line import APP, Run, run
from tests.support.driver import Driver
from tests.support.mariadb import MariadbServer, real_mariadb_url
from tests.support.servers import (
    DatabaseServer,
    PostgresServer,
    SqliteFiles,
    embedded_postgres,
    empty_redis,
    real_postgres_url,
    real_redis_url,
)
from tests.support.waiting import HANG_S

# What a shell runs in the background ignores Ctrl-C, and so would every process of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that takes long on a busy machine is not wrong.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

_REDIS = ["embedded", *(["server"] if real_redis_url() else [])]
_RABBIT = ["rabbitmq"] if real_rabbitmq_url() else []
_BROKERS = [*_REDIS, *_RABBIT]
_POSTGRES = ["postgresql", *(["postgresql-server"] if real_postgres_url() else [])]
_SHOPS = ["sqlite", *_POSTGRES]
_DATABASES = [*_SHOPS, *(["mariadb"] if real_mariadb_url() else [])]
_RUNS_ON = {
    "broker": _BROKERS,
    "rabbitmq_url": _RABBIT,
    "redis_url": _REDIS,
    "postgres_url": _POSTGRES,
    "database_url": _DATABASES,
    "server_url": [name for name in _DATABASES if name != "sqlite"],
    "mariadb_url": [name for name in _DATABASES if name == "mariadb"],
    "blank_database_url": _DATABASES,
    "blank_shop_url": _SHOPS,
}


def _pairs(brokers: list[str], databases: list[str]) -> list[tuple[str, str]]:
    """Return pairs that cover every broker and every database once, the private ones first."""
    count = max(len(brokers), len(databases))
    brokers = brokers[:1] * (count - len(brokers)) + brokers
    databases = databases[:1] * (count - len(databases)) + databases
    return list(zip(brokers, databases, strict=True))


# Such tests start worker processes, so one PostgreSQL is enough.
_PAIRS = _pairs(_BROKERS, [name for name in _DATABASES if name not in _POSTGRES[:-1]])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each server that its fixtures stand for."""
    wanted = set(_RUNS_ON) & set(metafunc.fixturenames)
    if {"broker", "database_url"} <= wanted:
        metafunc.parametrize(("broker", "database_url"), _PAIRS, indirect=True)
        wanted -= {"broker", "database_url"}
    names = ("redis_url", "postgres_url")
    if set(names) <= wanted:  # long tests: once, on real servers if there are any
        metafunc.parametrize(names, [(_REDIS[-1], _POSTGRES[-1])], indirect=True)
        wanted -= set(names)
    for name in sorted(wanted):
        metafunc.parametrize(name, _RUNS_ON[name], indirect=True)


@pytest.fixture(autouse=True)
def _patient_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no transaction be ended that a test holds open, however slow the machine is."""
    monkeypatch.setattr(database_module, "_STALL_LIMIT_S", round(HANG_S))


_SHARED_BROKERS = {"server", "rabbitmq"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a broker that is already running to one process: workers there know each other by name.

    In a database server that is already running, a test has its own database, and every process has
    its own private servers.
    """
    for item in items:
        called = getattr(item, "callspec", None)
        for broker in _SHARED_BROKERS & set(_words(called.params.values() if called else ())):
            item.add_marker(pytest.mark.xdist_group(broker))


def _words(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """Return the private broker of the whole run; a test uses ``redis_url``, which is empty."""
    with embedded_broker() as url:
        yield url


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return an empty Redis database that belongs to this test alone."""
    real = real_redis_url() if request.param == "server" else None
    with empty_redis(real or request.getfixturevalue("embedded_url")) as url:
        yield url


@pytest.fixture
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    """Return the RabbitMQ that is already running; a test deletes the queues that it creates."""
    assert request.param
    return real_rabbitmq_url() or ""


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Return a broker with an empty queue that belongs to this test alone."""
    if request.param == "rabbitmq":
        with empty_rabbit(real_rabbitmq_url() or "") as made:
            yield made
        return
    real = real_redis_url() if request.param == "server" else None
    with empty_redis(real or request.getfixturevalue("embedded_url")) as url:
        yield RedisBroker(url)


@pytest.fixture(scope="session")
def blank_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], DatabaseServer]]:
    """Return the server with a name; it starts when it is first requested."""
    with ExitStack() as stack:

        @cache
        def server(name: str) -> DatabaseServer:
            if name == "sqlite":
                return SqliteFiles(tmp_path_factory.mktemp("sqlite"))
            if name == "postgresql-server":
                return PostgresServer(real_postgres_url() or "")
            if name == "mariadb":
                return MariadbServer(real_mariadb_url() or "")
            return stack.enter_context(embedded_postgres())

        yield server


@pytest.fixture(scope="session")
def record_server(
    blank_server: Callable[[str], DatabaseServer],
) -> Iterator[Callable[[str], DatabaseServer]]:
    """Return the server with a name; each of its databases has the record's tables."""
    with ExitStack() as stack:

        @cache
        def server(name: str) -> DatabaseServer:
            return stack.enter_context(blank_server(name).with_template(_migrate))

        yield server


def _migrate(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.dispose()


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, record_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return a database of this test alone, with the record's tables and no rows."""
    with record_server(request.param).database() as url:
        yield url


@pytest.fixture
def postgres_url(
    request: pytest.FixtureRequest, record_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return the same as ``database_url``, on PostgreSQL only."""
    with record_server(request.param).database() as url:
        yield url


@pytest.fixture
def server_url(
    request: pytest.FixtureRequest, record_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return the same as ``database_url``, on servers that lock rows and not the whole file."""
    with record_server(request.param).database() as url:
        yield url


@pytest.fixture
def mariadb_url(
    request: pytest.FixtureRequest, record_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return the same as ``database_url``, on MariaDB only."""
    with record_server(request.param).database() as url:
        yield url


@pytest.fixture
def blank_database_url(
    request: pytest.FixtureRequest, blank_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return an empty database of this test alone."""
    with blank_server(request.param).database() as url:
        yield url


@pytest.fixture
def blank_shop_url(
    request: pytest.FixtureRequest, blank_server: Callable[[str], DatabaseServer]
) -> Iterator[str]:
    """Return the same as ``blank_database_url``, where the reference application can run."""
    with blank_server(request.param).database() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return the record's database."""
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.fixture
def store(database: Database) -> Store:
    """Return the record's store."""
    return Store(database)


@pytest.fixture
def app(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Return the current Celery app, with the record and an in-memory broker."""
    made = Celery("shop", broker="memory://", set_as_current=False)
    made.conf.update(
        saga_database_url=database_url,
        task_default_queue=f"shop-{uuid.uuid4().hex}",
        broker_transport_options={"polling_interval": 0.01},
    )
    monkeypatch.setattr(celery_state._tls, "current_app", made)  # noqa: SLF001
    # Only this process uses the broker, so it knows the true lengths of its queues.
    monkeypatch.setattr(queues, "EXACT", (*queues.EXACT, "memory"))
    sagas.setup(made)
    yield made
    made.close()
    if "database" in vars(runtime_of(made)):
        runtime_of(made).database.dispose()


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    """Return the app's runtime."""
    return runtime_of(app)


@pytest.fixture
def driver(runtime: Runtime) -> Driver:
    """Return a worker of the app that runs in this process."""
    runtime.app.finalize()
    return Driver(runtime.app)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Run]]:
    """Return a function that runs the command line of an app with the given database URL."""
    current = celery_state._tls  # noqa: SLF001
    monkeypatch.setattr(current, "current_app", current.current_app)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # The module keeps its app, which other tests must not find.
    monkeypatch.setattr(app_module, "_bound", WeakSet())
    made: list[Celery] = []

    def on(url: str | None) -> Run:
        monkeypatch.delenv("CELERY_APP", raising=False)
        monkeypatch.setenv("CLI_DATABASE_URL", url or "")
        made.append(importlib.reload(importlib.import_module(APP)).app)
        made[-1].set_current()
        return run

    yield on
    for app in made:
        if "database" in vars(runtime_of(app)):
            runtime_of(app).database.dispose()


@pytest.fixture
def run_saga(cli: Callable[[str], Run], database_url: str) -> Run:
    """Return a function that runs a command on the record."""
    return cli(database_url)
