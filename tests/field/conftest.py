"""Workers in any pool, on a private broker and a record in a file."""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from celery import _state as celery_state
from kombu.transport import memory

import sagas
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.runtime import app as app_module
from sagas.runtime.app import Runtime, runtime_of
from tests.support.pools import Pools


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return the log, in which the engine and Celery speak from INFO on."""
    caplog.set_level(logging.INFO, logger="sagas")
    caplog.set_level(logging.INFO, logger="celery")
    return caplog


@pytest.fixture
def pools(redis_url: str, tmp_path: Path) -> Iterator[Pools]:
    """Return an empty broker and an empty record."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    record = Database(url)
    upgrade(record)
    env = {
        "POOLS_BROKER_URL": redis_url,
        "POOLS_DATABASE_URL": url,
        "POOLS_DIRECTORY": str(tmp_path),
    }
    yield Pools(env, record, tmp_path)
    record.dispose()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return the runtime of an app in this process, on an empty record."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.update(saga_database_url=url, saga_lease_s=60.0)
    monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
    sagas.setup(app)
    made = runtime_of(app)
    upgrade(made.database)
    yield made
    made.database.dispose()
    app.close()


MakeApp = Callable[..., Runtime]


@pytest.fixture
def make_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeApp]:
    """Return a function that makes an app from a record's URL and settings and makes it current."""
    with ExitStack() as stack:

        def make(url: str, **settings: Any) -> Runtime:
            app = Celery("shop", broker="memory://", set_as_current=False)
            app.conf.update(
                saga_database_url=url, task_default_queue=f"shop-{uuid.uuid4().hex}", **settings
            )
            monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
            sagas.setup(app)
            stack.callback(_close, app)
            # No app is current in other threads: they find the only one that was set up.
            monkeypatch.setattr(app_module, "_bound", [runtime_of(app)])
            return runtime_of(app)

        yield make


def _close(app: Celery) -> None:
    app.close()
    if "database" in vars(runtime_of(app)):
        runtime_of(app).database.dispose()


@pytest.fixture
def field_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return the runtime of the current app: a record in a file and an in-memory broker."""
    # The in-memory broker belongs to the process: what other tests left in it is put aside.
    monkeypatch.setattr(memory.Channel, "queues", {})
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.saga_database_url = f"sqlite:///{tmp_path / 'record.db'}"
    app.conf.saga_lease_s = 60.0
    monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
    sagas.setup(app)
    sagas.upgrade_record()
    yield runtime_of(app)
    app.close()
    runtime_of(app).database.dispose()


@pytest.fixture
def published() -> Iterator[list[str]]:
    """Return the names of the published tasks."""
    names: list[str] = []

    def note(sender: str = "", **_: Any) -> None:
        names.append(sender)

    signals.before_task_publish.connect(note)
    yield names
    signals.before_task_publish.disconnect(note)
