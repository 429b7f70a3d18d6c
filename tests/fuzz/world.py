"""A record on SQLite with a saga in every status, restored whenever a test has changed it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery
from sqlalchemy import Connection, RowMapping, select

from sagas.decision import SagaState, Succeeded
from sagas.record import tables as t
from sagas.record.store import Store
from sagas.runtime.app import runtime_of
from sagas.states import Operation, SagaStatus
from tests.support.driver import Driver
from tests.support.records import ERRORED, REFUSED, claims, concludes
from tests.support.shop import Order, charge, order_saga, patient_saga, reserve

__all__ = ["World"]

UNDO = Operation.COMPENSATION


@dataclass
class World:
    """The sagas, by key, and the messages that the engine sent for them."""

    app: Celery
    file: Path
    driver: Driver = field(init=False)
    states: dict[str, SagaState] = field(default_factory=dict)
    sent: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    rows: Mapping[str, Any] = field(default_factory=dict)
    #: How many changes were seen: a test in which nothing changes would prove nothing.
    moves: int = 0

    def __post_init__(self) -> None:
        self.app.finalize()
        self.driver = Driver(self.app)
        _fill(self)
        self.store.database.dispose()
        shutil.copyfile(self.file, self._kept)
        self.rows = self.read()

    @property
    def store(self) -> Store:
        """The record's store."""
        return runtime_of(self.app).store

    @property
    def _kept(self) -> Path:
        return self.file.with_suffix(".kept")

    def read(self) -> dict[str, list[Any]]:
        """Return every row of the record, by the saga's key; rows of no saga are under ""."""
        found: dict[str, list[Any]] = {key: [] for key in ("", *self.states)}
        keys = {saga.id: key for key, saga in self.states.items()}
        for table in t.metadata.sorted_tables:
            query = select(table).order_by(*table.primary_key)
            for row in self.store.database.read(partial(_all, query=query)):
                own = row.get("saga_id", row.get("id"))
                found[keys.get(own, "") if isinstance(own, UUID) else ""].append(row)
        return found

    def changed(self) -> set[str]:
        """Return the keys of the sagas that have changed, and restore everything."""
        now = self.read()
        found = {key for key, rows in now.items() if rows != self.rows[key]}
        self.moves += len(found)
        if found:
            self.store.database.dispose()
            for suffix in ("-wal", "-shm"):
                Path(f"{self.file}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(self._kept, self.file)
        self.drain()
        return found

    def drain(self) -> None:
        """Discard the waiting messages of the broker; while filling, record those of the engine."""
        queue = self.app.conf.task_default_queue
        with self.app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
            while waiting.qsize():
                message = waiting.get(block=False)
                message.ack()
                if not self.rows:
                    self.sent.append((message.headers, message.payload))


def _all(connection: Connection, *, query: Any) -> Sequence[RowMapping]:
    return connection.execute(query).mappings().all()


def _fill(world: World) -> None:
    """Start sagas and bring each to another status."""
    for status in (*SagaStatus, "held", "waits"):
        saga = patient_saga if status == "waits" else order_saga
        handle = saga.start(Order(), key=f"key of {status}")
        _advance(world, handle.id, str(status))
        world.drain()
        state = world.store.peek(handle.id)
        assert state is not None
        assert status in (state.status, "held", "waits"), (status, state.status)
        world.states[state.key] = state


def _advance(world: World, saga_id: UUID, status: str) -> None:
    store, driver = world.store, world.driver
    if status == "waits":
        claims(store, saga_id, "shop.report")
        concludes(store, saga_id, "shop.report", ERRORED)
        return
    if status == SagaStatus.STARTED:
        return
    if status == SagaStatus.COMPLETED:
        driver.run_all()
        return
    claims(store, saga_id, reserve.name)
    concludes(store, saga_id, reserve.name, Succeeded('"reserved"'))
    if status == "held":
        claims(store, saga_id, charge.name)
    if status in (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.FAILED):
        order_saga.get(key=f"key of {status}").cancel(reason="a test", by="a test")
    if status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        claims(store, saga_id, reserve.name, UNDO, token="undo")  # noqa: S106
        result = Succeeded() if status == SagaStatus.COMPENSATED else REFUSED
        concludes(store, saga_id, reserve.name, result, UNDO, token="undo")  # noqa: S106
