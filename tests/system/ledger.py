"""What the participant of a trip has booked and cancelled: every effect, in order."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, String, Table, select

from sagas import barrier
from sagas.record.database import Database
from sagas.testing import Effect

__all__ = ["create_tables", "effects", "ledger"]

metadata = MetaData()
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("saga_id", String(36), nullable=False),
    Column("step", String(100), nullable=False),
    Column("operation", String(20), nullable=False),
)


def create_tables(database: Database) -> None:
    """Create what the participant needs."""
    metadata.create_all(database.engine)
    barrier.create_tables(database.engine)


def effects(database: Database) -> Sequence[Effect]:
    """Return every effect, in the order in which they were applied."""
    rows = database.read(lambda c: c.execute(select(ledger).order_by(ledger.c.id)).all())
    return [Effect(UUID(row.saga_id), row.step, row.operation) for row in rows]
