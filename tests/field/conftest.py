"""Small records and apps for the cases from the field."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery import _state as celery_state

import sagas
from sagas.runtime.app import Runtime, runtime_of


@pytest.fixture
def field_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return the runtime of the current app: a record in a file, and a broker in memory."""
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.saga_database_url = f"sqlite:///{tmp_path / 'record.db'}"
    app.conf.saga_lease_s = 1.0
    monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
    sagas.setup(app)
    sagas.upgrade_record()
    yield runtime_of(app)
    app.close()
    runtime_of(app).database.dispose()
