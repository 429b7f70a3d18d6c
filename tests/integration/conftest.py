"""What the application of the integration tests publishes, writes and runs."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from sqlalchemy import Engine, NullPool, create_engine

from sagas.worker import execution
from tests.integration.codec import told
from tests.integration.outbox import Outbox
from tests.support.proxy import Door, door
from tests.support.shop import metadata


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Return the application's own engine, on the record's database with its own tables."""
    made = create_engine(database_url)
    metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def outbox(database_url: str, app: Celery) -> Iterator[Outbox]:
    """Return what the app publishes."""
    assert app
    made = Outbox(create_engine(database_url, poolclass=NullPool))
    signals.before_task_publish.connect(made.note)
    yield made
    signals.before_task_publish.disconnect(made.note)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the functions that ran, by the names of their steps."""
    names: list[str] = []
    real = execution.Execution.run

    def noted(self: Any, claimed: Any, granted: Any) -> Any:
        names.append(self._call.task)
        return real(self, claimed, granted)

    monkeypatch.setattr(execution.Execution, "run", noted)
    return names


@pytest.fixture
def nothing_told() -> None:
    """Forget what the steps with secrets have seen."""
    told.clear()


@pytest.fixture
def closed_broker() -> Iterator[Door]:
    """Return a door to a broker that is down; the door counts the connections it refuses."""
    with door("redis://127.0.0.1:1/0") as made:
        made.is_open = False
        yield made
