"""The world of every fuzz test: on SQLite, because the results do not depend on the database."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery import _state as celery_state
from sqlalchemy import make_url

import sagas
from sagas.runtime.app import runtime_of
from tests.fuzz.world import World
from tests.support.servers import DatabaseServer


@pytest.fixture
def world(
    record_server: Callable[[str], DatabaseServer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Return a world with a saga in each status, whose app is the current one."""
    made = Celery("fuzz", broker="memory://", set_as_current=False)
    monkeypatch.setattr(celery_state._tls, "current_app", made)  # noqa: SLF001
    sagas.setup(made)
    with record_server("sqlite").database() as url:
        made.conf.update(saga_database_url=url, task_default_queue=f"fuzz-{uuid.uuid4().hex}")
        yield World(made, Path(str(make_url(url).database)))
        runtime_of(made).database.dispose()
    made.close()
