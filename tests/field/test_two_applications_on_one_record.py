"""Two applications on one record: each would send the other's sagas to its own broker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery import _state as celery_state
from sqlalchemy import Connection, create_engine, select

import sagas
from sagas import ConfigurationError, Saga, WrongApplication, step
from sagas.duties.supervisor import Supervisor
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.owner import require_own_record
from sagas.runtime import app as app_module
from sagas.runtime.app import Runtime, runtime_of
from tests.support.records import count


@step(name="field.shared.count", read_only=True)
def add(order: str) -> None:
    """Count it."""


saga = Saga("field.shared", input=str, steps=[add])

Make = Callable[..., Runtime]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'record.db'}"
    database = Database(url)
    upgrade(database)
    database.dispose()
    return url


@pytest.fixture
def make(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a function that makes an application by name, and makes it the current one."""
    with ExitStack() as stack:

        def made(name: str | None, **settings: Any) -> Runtime:
            app = Celery(name, broker="memory://", set_as_current=False)
            app.conf.update(saga_database_url=url, **settings)
            monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
            sagas.setup(app)
            runtime = runtime_of(app)
            stack.callback(app.close)
            stack.callback(runtime.database.dispose)
            return runtime

        yield made


def owner(runtime: Runtime) -> str | None:
    return runtime.database.read(lambda c: c.scalar(select(t.record.c.application)))


def test_the_second_application_is_told_what_to_do_and_starts_nothing(make: Make) -> None:
    first = make("shop")
    saga.start("S-1", key="S-1")
    second = make("billing")
    with pytest.raises(WrongApplication) as refused:
        saga.start("B-1", key="B-1")
    for words in ("belongs to the application 'shop'", "'billing'", "saga_namespace = 'shop'"):
        assert words in str(refused.value)
    with second.database.engine.connect() as connection, pytest.raises(WrongApplication):
        saga.start("B-1", key="B-1", session=connection)
    assert count(first.database, t.saga) == 1
    assert owner(first) == "shop"


def test_a_worker_of_the_second_application_does_not_start(make: Make) -> None:
    first = make("shop")
    first.enter_worker("one@here")
    supervisor = Supervisor(first)
    supervisor.start()
    supervisor.stop()
    second = make("billing")
    second.enter_worker("two@here")
    with pytest.raises(WrongApplication, match="belongs to the application 'shop'"):
        Supervisor(second).start()
    assert count(second.database, t.worker) == 0


def test_whose_record_it_is_is_asked_only_until_it_is_known(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("shop")
    saga.start("S-1", key="S-1")
    again, asked = make("shop"), 0

    def ask(connection: Connection, application: str) -> bool:
        nonlocal asked
        asked += 1
        return require_own_record(connection, application)

    monkeypatch.setattr(app_module, "require_own_record", ask)
    for number in (2, 3):
        with again.database.engine.begin() as connection:
            saga.start(f"S-{number}", key=f"S-{number}", session=connection)
    assert asked == 1


def test_two_apps_that_are_one_application_share_its_name(make: Make) -> None:
    make("web", saga_namespace="shop")
    saga.start("S-1", key="S-1")
    runtime = make("workers", saga_namespace="shop")
    saga.start("S-2", key="S-2")
    assert count(runtime.database, t.saga) == 2
    assert owner(runtime) == "shop"


@pytest.mark.parametrize("name", [None, "__main__"])
def test_an_app_without_a_name_of_its_own_neither_takes_a_record_nor_is_refused(
    name: str | None, make: Make
) -> None:
    runtime = make(name)
    saga.start("N-1", key="N-1")
    assert owner(runtime) is None
    make("shop")
    saga.start("S-1", key="S-1")
    make(name)
    saga.start("N-2", key="N-2")
    assert owner(runtime) == "shop"


def test_a_start_in_a_transaction_that_has_locked_the_record_does_not_wait_for_itself(
    make: Make, url: str
) -> None:
    runtime = make("shop")
    with create_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id integer)")
        saga.start("S-1", key="S-1", session=connection)
    assert owner(runtime) is None
    saga.start("S-2", key="S-2")
    assert owner(runtime) == "shop"


def test_the_owner_is_looked_up_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("shop")
    saga.start("S-1", key="S-1")
    monkeypatch.setattr("sagas.runtime.app.require_own_record", None)
    saga.start("S-2", key="S-2")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, 7])
def test_a_name_that_cannot_be_stored_is_refused(name: Any, make: Make) -> None:
    with pytest.raises(ConfigurationError, match="saga_namespace"):
        _ = make("shop", saga_namespace=name).settings
