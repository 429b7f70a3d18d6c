"""Passwords that change and pools of one's own: ``saga_engine`` makes the record's engine."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    NullPool,
    StaticPool,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine

import sagas
from sagas import ConfigurationError, SagaStatus
from sagas.record.database import Database
from sagas.runtime.app import Runtime
from sagas.runtime.settings import Settings
from tests.field.database_shop import Order, order
from tests.support.waiting import HANG_S
from tests.support.workers import running_worker

Make = Callable[..., Runtime]


def engine_on(url: str, **options: Any) -> Engine:
    if make_url(url).get_backend_name() == "mariadb":
        options = {"isolation_level": "READ COMMITTED", **options}
    return create_engine(url, **options)


def test_the_record_works_on_the_engine_of_the_application(
    blank_database_url: str, make_runtime: Make
) -> None:
    runtime = make_runtime("", saga_engine=lambda: engine_on(blank_database_url))
    sagas.upgrade_record()
    handle = order.start(Order(id="1"), key="1")
    assert handle.status is SagaStatus.STARTED
    runtime.database.snapshot(lambda c: c.execute(text("SELECT 1")))
    theirs = engine_on(blank_database_url)
    with theirs.begin() as connection:
        order.start(Order(id="2"), key="2", session=connection)
    theirs.dispose()
    assert {saga.key for saga in sagas.find()} == {"1", "2"}
    if runtime.database.engine.dialect.name == "sqlite":
        mode = runtime.database.read(lambda c: c.scalar(text("PRAGMA journal_mode")))
        assert mode == "wal"


def test_every_connection_gets_the_password_of_the_moment(
    postgres_url: str, make_runtime: Make
) -> None:
    tokens: list[str] = []

    def make() -> Engine:
        engine = create_engine(postgres_url, poolclass=NullPool)

        @event.listens_for(engine, "do_connect")
        def give(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
            tokens.append(f"token {len(tokens)}")
            parameters["password"] = tokens[-1]

        return engine

    make_runtime("", saga_engine=make)
    order.start(Order(id="1"), key="1")
    before = len(tokens)
    assert order.get(key="1").status is SagaStatus.STARTED
    assert 0 < before < len(tokens)


def test_no_error_of_the_record_shows_its_parameters(database_url: str) -> None:
    database = Database(None, factory=lambda: engine_on(database_url), patience_s=0)
    with pytest.raises(Exception, match="hide_parameters") as raised:
        database.read(lambda c: c.execute(text("SELECT :it FROM nowhere"), {"it": "a secret"}))
    assert "a secret" not in str(raised.value)
    database.dispose()


@pytest.fixture
def environment(
    redis_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    env = {"OWN_ENGINE_BROKER": redis_url, "OWN_ENGINE_RECORD": postgres_url}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


def test_a_child_of_the_pool_never_uses_the_connections_of_its_parent(
    environment: dict[str, str], tmp_path: Path
) -> None:
    from tests.field import own_engine_app  # noqa: PLC0415 - reads the environment

    log = tmp_path / "worker"
    options = ("-c", "2", "--max-tasks-per-child", "1")
    with running_worker("tests.field.own_engine_app", *options, log=log, env=environment):
        app = own_engine_app.app
        handles = order.start_many(
            [(Order(id=str(n), declined=bool(n % 2)), str(n)) for n in range(6)], app=app
        )
        ended = [handle.wait(HANG_S) for handle in handles]
    assert ended == [SagaStatus.COMPLETED, SagaStatus.COMPENSATED] * 3
    assert "OperationalError" not in log.read_text()


# Misuse


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda url: url, r"returned str.*synchronous driver"),
        (lambda url: create_engine(url, poolclass=StaticPool), "StaticPool.*Use QueuePool"),
        (
            lambda url: create_engine(url).execution_options(isolation_level="AUTOCOMMIT"),
            "isolation level AUTOCOMMIT.*READ COMMITTED",
        ),
        (
            lambda url: create_engine(url, isolation_level="AUTOCOMMIT"),
            "isolation level AUTOCOMMIT.*READ COMMITTED",
        ),
        (
            lambda url: create_engine(url, isolation_level="SERIALIZABLE"),
            "isolation level SERIALIZABLE.*READ COMMITTED",
        ),
    ],
    ids=["no engine", "one connection", "options", "autocommit", "another level"],
)
def test_an_engine_that_the_record_cannot_use_is_refused_with_the_remedy(
    make: Callable[[str], Any], said: str, server_url: str
) -> None:
    refuses(lambda: make(server_url), said)


def refuses(factory: Callable[[], Any], said: str) -> None:
    database = Database(None, factory=factory, patience_s=0)
    with pytest.raises(ConfigurationError, match=f"saga_engine .*{said}"):
        database.read(lambda c: c.execute(text("SELECT 1")))
    database.dispose()


def test_an_engine_for_asyncio_or_in_memory_is_refused(tmp_path: Path) -> None:
    refuses(lambda: create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x"), "AsyncEngine")
    refuses(lambda: create_engine("sqlite://", poolclass=NullPool), "in-memory")

    async def later() -> Engine:
        raise AssertionError("It is never awaited.")

    refuses(later, "returned coroutine")


def configured(**settings: Any) -> Settings:
    return Settings.read(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"saga_database_url": "sqlite:///x"}, "saga_engine and saga_database_url are both set"),
        (
            {"saga_database_options": {"pool_size": 2}},
            "saga_engine and saga_database_options are both set",
        ),
        ({"saga_engine": "no.such:name"}, "'no.such:name' cannot be imported"),
        ({"saga_engine": create_engine("sqlite://")}, "is not a function that returns an engine"),
    ],
)
def test_a_setting_that_contradicts_itself_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        configured(**{"saga_engine": os.getcwd, **settings})


def test_the_engine_needs_no_url_and_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAGAS_DATABASE_URL", "sqlite:///other.db")
    settings = configured(saga_engine="os:getcwd")
    assert settings.saga_database_url is None
    assert settings.engine_factory is os.getcwd
