"""The record, an application on it, and what the application publishes."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery, signals
from celery import _state as celery_state
from sqlalchemy import Engine, NullPool, create_engine, select

import sagas
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime import queues
from sagas.runtime.app import Runtime, runtime_of
from tests.integration.shop import metadata


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
def engine(database_url: str) -> Iterator[Engine]:
    """Return the application's own engine on the record's database, which has its tables too."""
    made = create_engine(database_url)
    metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def app(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Return the current Celery app, with the record and a broker in memory."""
    made = Celery("shop", broker="memory://", set_as_current=False)
    made.conf.update(
        saga_database_url=database_url,
        task_default_queue=f"shop-{uuid.uuid4().hex}",
        broker_transport_options={"polling_interval": 0.01},
    )
    monkeypatch.setattr(celery_state._tls, "current_app", made)  # noqa: SLF001
    # One process alone uses this broker, so that it knows the true lengths of its queues.
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


@dataclass(frozen=True)
class Published:
    """A message, and whether its saga was committed when it was published."""

    task: str
    saga_id: uuid.UUID
    committed: bool


@dataclass
class Outbox:
    """Every message that was published."""

    record: Engine
    messages: list[Published] = field(default_factory=list)

    def note(self, sender: str = "", body: Any = None, **_: Any) -> None:
        """Note a message, and look into the record from a connection of our own."""
        saga_id = uuid.UUID(body[0][0])
        with self.record.connect() as connection:
            query = select(t.saga.c.id).where(t.saga.c.id == saga_id)
            committed = connection.scalar(query) == saga_id
        self.messages.append(Published(sender, saga_id, committed))

    def of(self, saga_id: uuid.UUID) -> list[str]:
        """Return the tasks of the messages that were published for a saga, all after its commit."""
        of_saga = [message for message in self.messages if message.saga_id == saga_id]
        assert all(message.committed for message in of_saga)
        return [message.task for message in of_saga]


@pytest.fixture
def outbox(database_url: str, app: Celery) -> Iterator[Outbox]:
    """Return what the app publishes."""
    assert app
    made = Outbox(create_engine(database_url, poolclass=NullPool))
    signals.before_task_publish.connect(made.note)
    yield made
    signals.before_task_publish.disconnect(made.note)
