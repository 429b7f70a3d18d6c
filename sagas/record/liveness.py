"""Which workers are alive: one row an incarnation, and what happens when it goes stale."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from sagas.record import tables as t
from sagas.sql import before_now, now
from sagas.states import StepStatus

__all__ = ["Heartbeat", "beat", "bury", "fresh_workers", "held_by", "silences", "stale_workers"]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life; *seen* tells how far each queue has visibly moved."""

    worker_id: UUID
    hostname: str
    pid: int
    seen: Mapping[str, float]


def beat(connection: Connection, sign: Heartbeat) -> None:
    """Write a worker's sign of life; one that was buried too early comes back with it."""
    values = {"heartbeat_at": now(), "seen": dict(sign.seen)}
    found = connection.execute(
        update(t.worker).where(t.worker.c.id == sign.worker_id).values(values)
    )
    if found.rowcount == 0:
        row = {"id": sign.worker_id, "hostname": sign.hostname, "pid": sign.pid}
        connection.execute(insert(t.worker).values(**row, started_at=now(), **values))


def fresh_workers(connection: Connection, lease_s: float) -> dict[UUID, Mapping[str, float]]:
    """Return the workers that are alive, each with how far it has seen its queues move."""
    query = select(t.worker.c.id, t.worker.c.seen)
    fresh = t.worker.c.heartbeat_at >= before_now(lease_s)
    return {row.id: row.seen for row in connection.execute(query.where(fresh))}


def silences(connection: Connection) -> dict[str, float]:
    """Return for how many seconds each node name has given no sign of life.

    The buried are left out. Two incarnations may have one name: the livelier counts.
    """
    query = select(t.worker.c.hostname, t.worker.c.heartbeat_at, now().label("now"))
    rows = connection.execute(query.order_by(t.worker.c.heartbeat_at))
    return {row.hostname: (row.now - row.heartbeat_at).total_seconds() for row in rows}


def stale_workers(connection: Connection, lease_s: float) -> dict[UUID, str]:
    """Return the workers whose lease is over, each with its node name."""
    stale = t.worker.c.heartbeat_at < before_now(lease_s)
    found = connection.execute(select(t.worker.c.id, t.worker.c.hostname).where(stale))
    return {row.id: row.hostname for row in found}


def bury(connection: Connection, worker_id: UUID, lease_s: float | None) -> bool:
    """Remove a worker and make what it held due at once; False if another did, or it came back.

    With *lease_s* it must still be stale; without, it goes by its own wish.
    """
    stale = [] if lease_s is None else [t.worker.c.heartbeat_at < before_now(lease_s)]
    buried = connection.execute(delete(t.worker).where(t.worker.c.id == worker_id, *stale))
    if buried.rowcount == 0:
        return False
    held = select(t.step.c.saga_id).where(t.step.c.worker == worker_id, _HELD)
    # Where a step's end is committed meanwhile its saga is looked at too, sooner than it need be.
    connection.execute(
        update(t.saga)
        .where(t.saga.c.id.in_(held), t.saga.c.due_at.is_not(None))
        .values(due_at=now())
    )
    return True


def held_by(connection: Connection, worker_id: UUID) -> dict[UUID, str]:
    """Return the sagas whose steps a worker holds, with the Celery task that holds each.

    Without those that could not be moved on: they have been put off.
    """
    query = select(t.step.c.saga_id, t.step.c.task_id).join(t.saga)
    query = query.where(t.step.c.worker == worker_id, _HELD, t.saga.c.stumbles == 0)
    return {row.saga_id: row.task_id for row in connection.execute(query)}


_HELD = t.step.c.status.in_((StepStatus.RUNNING, StepStatus.COMPENSATING)) & t.step.c.claim.is_not(
    None
)
