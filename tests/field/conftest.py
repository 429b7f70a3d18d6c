"""An application on a record of its own, whose broker is in memory."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from celery import Celery
from celery import _state as celery_state

import sagas
from sagas.runtime import app as app_module
from sagas.runtime.app import Runtime, runtime_of

MakeApp = Callable[..., Runtime]


@pytest.fixture
def make_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeApp]:
    """Return a function that makes a current app from a record's URL and settings."""
    with ExitStack() as stack:

        def make(url: str, **settings: Any) -> Runtime:
            app = Celery("shop", broker="memory://", set_as_current=False)
            app.conf.update(
                saga_database_url=url, task_default_queue=f"shop-{uuid.uuid4().hex}", **settings
            )
            monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
            sagas.setup(app)
            stack.callback(_close, app)
            # In other threads no app is current: there, the only one that was set up is found.
            monkeypatch.setattr(app_module, "_bound", [runtime_of(app)])
            return runtime_of(app)

        yield make


def _close(app: Celery) -> None:
    app.close()
    if "database" in vars(runtime_of(app)):
        runtime_of(app).database.dispose()
