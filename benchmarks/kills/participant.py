"""The participant: a database that gets one row for each effect and for each undo of an effect.

Rows are only appended, so they show afterwards what really happened, whatever the record of a saga
or the result of a task says.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
)

__all__ = ["ACTION", "STEPS", "UNDO", "Participant", "Row", "take_time"]

#: The three steps, in order.
STEPS = ("reserve", "charge", "ship")

ACTION, UNDO = "action", "undo"

#: How long a step takes, in seconds; its effect happens somewhere within.
FASTEST_S, SLOWEST_S = 0.02, 0.05

_metadata = MetaData()

_effect = Table(
    "effect",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", Integer, nullable=False),
    Column("step", String(20), nullable=False),
    Column("operation", String(20), nullable=False),
    Column("worker", String(200), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One effect, or the undo of one."""

    step: str
    operation: str
    worker: str


class Participant:
    """The participant's database, as one process sees it; its engine is made at first use."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def engine(self) -> Engine:
        """The engine; each child of a worker makes its own after the fork."""
        engine = create_engine(self._url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    def create(self) -> None:
        """Create the table."""
        _metadata.create_all(self.engine)

    def append(
        self, connection: Connection, number: int, step: str, operation: str, worker: str
    ) -> None:
        """Append an effect. Nothing is checked: asked twice, it happens twice."""
        row = {"number": number, "step": step, "operation": operation, "worker": worker}
        connection.execute(insert(_effect).values(row))

    def count(self) -> int:
        """Return the number of rows."""
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(_effect)).scalar_one()

    def latest_worker(self) -> str | None:
        """Return the worker that wrote the newest row."""
        query = select(_effect.c.worker).order_by(_effect.c.id.desc()).limit(1)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def rows(self) -> Mapping[int, Sequence[Row]]:
        """Return the rows of each number that has any, the oldest first."""
        query = select(_effect).order_by(_effect.c.id)
        found: dict[int, list[Row]] = {}
        with self.engine.connect() as connection:
            for row in connection.execute(query):
                found.setdefault(row.number, []).append(Row(row.step, row.operation, row.worker))
        return found

    def close(self) -> None:
        """Close the connections of this process."""
        self.engine.dispose()


def take_time(effect: Callable[[], None]) -> None:
    """Let a step take some time, with its effect at a random moment within it.

    So a kill can hit before the effect as well as after it.
    """
    whole = random.uniform(FASTEST_S, SLOWEST_S)
    before = random.uniform(0, whole)
    time.sleep(before)
    effect()
    time.sleep(whole - before)


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions
    for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: a transaction that has read could not wait for it.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
