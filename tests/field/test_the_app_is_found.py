"""Which Celery app a start belongs to, with factories that are called twice and with threads."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from celery import Celery
from celery import _state as celery_state

import sagas
from sagas import ConfigurationError, Saga, SagaHandle, step, upgrade_record
from sagas.runtime import app as runtime_app
from sagas.runtime.app import Runtime, runtime_of


@step(name="field.pack", read_only=True)
def pack(order: str) -> None:
    """Pack it."""


parcel = Saga("field.parcel", input=str, steps=[pack])

Factory = Callable[[str], Celery]


@pytest.fixture(autouse=True)
def no_app_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the test in the state of a new program."""
    monkeypatch.setattr(runtime_app, "_bound", type(runtime_app._bound)())  # noqa: SLF001
    monkeypatch.setattr(celery_state._tls, "current_app", None)  # noqa: SLF001
    monkeypatch.setattr(celery_state, "default_app", Celery("no app of ours", set_as_current=False))


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    """Return an app factory; each of its apps has its own record."""
    made: list[weakref.ref[Celery]] = []

    def create(name: str) -> Celery:
        app = Celery(name, broker="memory://")  # current in this thread
        app.conf.saga_database_url = f"sqlite:///{tmp_path / str(len(made))}.db"
        sagas.setup(app)
        upgrade_record()
        made.append(weakref.ref(app))
        return app

    yield create
    for app in made:
        if (kept := app()) is not None:
            runtime_of(kept).database.dispose()
            kept.close()


def in_a_thread(work: Callable[[], Any]) -> Any:
    """Return the result of a function in another thread, or the exception that it raises."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - the test judges it
            results.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_a_start_from_another_thread_belongs_to_the_newest_app_of_a_factory(
    factory: Factory,
) -> None:
    first, second = factory("shop"), factory("shop")
    handle = in_a_thread(lambda: parcel.start("P-1", key="P-1"))
    assert isinstance(handle, SagaHandle)
    assert parcel.get(key="P-1", app=second).id == handle.id
    with pytest.raises(sagas.SagaNotFound):
        parcel.get(key="P-1", app=first)


def test_one_of_several_apps_with_different_names_must_be_chosen(factory: Factory) -> None:
    shop, office = factory("shop"), factory("office")
    error = in_a_thread(lambda: parcel.start("P-1", key="P-1"))
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("Several Celery apps are set up for sagas ('office', 'shop')")
    assert "app=" in str(error)
    assert "set_default()" in str(error)
    handle = in_a_thread(lambda: parcel.start("P-1", key="P-1", app=shop))
    assert parcel.get(key="P-1", app=shop).id == handle.id
    (many,) = in_a_thread(lambda: parcel.start_many([("P-1", "P-1")], app=office))
    assert parcel.get(key="P-1", app=office).id == many.id


def test_the_default_app_is_chosen_in_every_thread(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = factory("shop"), factory("office")
    monkeypatch.setattr(celery_state, "default_app", shop)  # as shop.set_default() does
    assert in_a_thread(runtime_of) is runtime_of(shop)


def test_the_current_app_wins_over_a_newer_one(factory: Factory) -> None:
    first, _ = factory("shop"), factory("shop")
    first.set_current()
    assert runtime_of() is runtime_of(first)


def test_an_app_that_was_not_set_up_is_named() -> None:
    with pytest.raises(ConfigurationError, match="The Celery app 'bare' is not set up for sagas"):
        parcel.start("P-1", app=Celery("bare", set_as_current=False))


def test_a_dropped_app_is_garbage_collected_and_no_longer_ambiguous(factory: Factory) -> None:
    dropped = weakref.ref(drop(factory("office")))
    shop = factory("shop")
    gc.collect()
    assert dropped() is None
    assert in_a_thread(runtime_of) is runtime_of(shop)


def drop(app: Celery) -> Runtime:
    """Use an app as a program does, and keep no reference to it."""
    runtime = runtime_of(app)
    parcel.start("P-1", key="P-1", app=app)
    runtime.database.dispose()
    app.close()
    return runtime
