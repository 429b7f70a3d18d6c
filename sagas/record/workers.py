"""Which workers are alive: one row per incarnation, and what happens when its lease ends."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from sagas.record import tables as t
from sagas.sql import after_now, before_now, chunked, now
from sagas.states import StepStatus

__all__ = [
    "Heartbeat",
    "WorkerView",
    "consumed_queues",
    "expire",
    "extend_attempt",
    "held_by",
    "known_workers",
    "live_workers",
    "overrunning",
    "silences",
    "stale_workers",
    "withheld_queues",
    "write_heartbeat",
]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker's sign of life.

    *seen* maps each lane to the time it has moved to; *queues* are those that the worker consumes,
    and *withheld* those of which it has messages that it has not started for a long time.
    """

    worker_id: UUID
    hostname: str
    pid: int
    seen: Mapping[str, float]
    queues: tuple[str, ...] = ()
    withheld: Collection[str] = ()


def write_heartbeat(connection: Connection, heartbeat: Heartbeat) -> None:
    """Write a heartbeat; a worker that was expired too early comes back with it."""
    values = {
        "heartbeat_at": now(),
        "seen": dict(heartbeat.seen),
        "queues": dict.fromkeys(heartbeat.queues, True),
        "withheld": dict.fromkeys(heartbeat.withheld, True),
    }
    found = connection.execute(
        update(t.worker).where(t.worker.c.id == heartbeat.worker_id).values(values)
    )
    if found.rowcount == 0:
        row = {
            "id": heartbeat.worker_id,
            "hostname": heartbeat.hostname,
            "pid": heartbeat.pid,
        }
        connection.execute(insert(t.worker).values(**row, started_at=now(), **values))


def live_workers(connection: Connection, lease_s: float) -> dict[UUID, Mapping[str, float]]:
    """Return the workers that are alive, each with the time that its lanes have moved to."""
    query = select(t.worker.c.id, t.worker.c.seen)
    fresh = t.worker.c.heartbeat_at >= before_now(lease_s)
    return {row.id: row.seen for row in connection.execute(query.where(fresh))}


def consumed_queues(connection: Connection, lease_s: float) -> set[str]:
    """Return the queues that living workers consume; empty where no worker says."""
    fresh = t.worker.c.heartbeat_at >= before_now(lease_s)
    rows = connection.execute(select(t.worker.c.queues).where(fresh))
    return {queue for row in rows for queue in row.queues}


def withheld_queues(connection: Connection, lease_s: float) -> set[str]:
    """Return the queues of which living workers hold messages that they do not start."""
    fresh = t.worker.c.heartbeat_at >= before_now(lease_s)
    rows = connection.execute(select(t.worker.c.withheld).where(fresh))
    return {queue for row in rows for queue in row.withheld}


def silences(connection: Connection) -> dict[str, float]:
    """Return for how many seconds each node name has sent no heartbeat.

    Expired workers are left out. Of two incarnations with one name, the livelier one counts.
    """
    query = select(t.worker.c.hostname, t.worker.c.heartbeat_at, now().label("now"))
    rows = connection.execute(query.order_by(t.worker.c.heartbeat_at))
    return {row.hostname: (row.now - row.heartbeat_at).total_seconds() for row in rows}


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One incarnation of a worker as the record has it.

    Attributes:
        hostname: its node name.
        pid: the id of its main process.
        started_at: when it wrote its first heartbeat.
        heartbeat_at: when it wrote its last one.
        silent_s: for how many seconds it has written none.
        queues: the queues that it consumes.
    """

    hostname: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    silent_s: float
    queues: tuple[str, ...]


def known_workers(connection: Connection) -> list[WorkerView]:
    """Return the workers that nobody has expired, by node name."""
    rows = connection.execute(select(t.worker, now().label("now")).order_by(t.worker.c.hostname))
    return [
        WorkerView(
            row.hostname,
            row.pid,
            row.started_at,
            row.heartbeat_at,
            (row.now - row.heartbeat_at).total_seconds(),
            tuple(sorted(row.queues)),
        )
        for row in rows
    ]


def stale_workers(connection: Connection, lease_s: float) -> dict[UUID, str]:
    """Return the workers whose lease has ended, each with its node name."""
    stale = t.worker.c.heartbeat_at < before_now(lease_s)
    found = connection.execute(select(t.worker.c.id, t.worker.c.hostname).where(stale))
    return {row.id: row.hostname for row in found}


def expire(connection: Connection, worker_id: UUID, lease_s: float | None) -> bool:
    """Remove a worker and make the sagas it held due at once.

    Returns False if another process removed it first, or if it came back. With *lease_s* the worker
    must still be stale; without, it leaves by itself.
    """
    stale = [] if lease_s is None else [t.worker.c.heartbeat_at < before_now(lease_s)]
    expired = connection.execute(delete(t.worker).where(t.worker.c.id == worker_id, *stale))
    if expired.rowcount == 0:
        return False
    held = select(t.step.c.saga_id).where(t.step.c.worker == worker_id, _HELD)
    held_sagas = connection.execute(held.order_by(t.step.c.saga_id)).scalars().all()
    # A step whose end is committed in between costs one check that was not needed.
    due = update(t.saga).where(t.saga.c.due_at.is_not(None)).values(due_at=now())
    for some in chunked(held_sagas):
        connection.execute(due.where(t.saga.c.id.in_(some)))
    return True


def held_by(connection: Connection, worker_id: UUID) -> dict[UUID, str]:
    """Return the sagas whose steps a worker holds, each with the Celery task that holds it.

    Sagas whose last sweep failed are left out: their next check is postponed.
    """
    query = select(t.step.c.saga_id, t.step.c.task_id).join(t.saga)
    query = query.where(t.step.c.worker == worker_id, _HELD, t.saga.c.failed_sweeps == 0)
    return {row.saga_id: row.task_id for row in connection.execute(query)}


def overrunning(connection: Connection, worker_id: UUID, *, within_s: float) -> dict[UUID, str]:
    """Return the sagas whose steps a worker holds and that expire soon, each with its Celery task.

    Such an attempt has overrun its timeout: expiry follows the timeout after a while.
    """
    query = select(t.step.c.saga_id, t.step.c.task_id).where(
        t.step.c.worker == worker_id, _HELD, t.step.c.expires_at < after_now(within_s)
    )
    return {row.saga_id: row.task_id for row in connection.execute(query)}


def extend_attempt(
    connection: Connection, worker_id: UUID, saga_id: UUID, task_id: str, *, extension_s: float
) -> bool:
    """Let an attempt expire later, if this worker still holds its step.

    Returns False where it does not, or where another transaction has locked the row: the heartbeat
    waits for none.
    """
    held = (t.step.c.saga_id == saga_id, t.step.c.task_id == task_id)
    query = select(t.step.c.name).where(*held, t.step.c.worker == worker_id, _HELD)
    name = connection.scalar(query.with_for_update(skip_locked=True))
    if name is None:
        return False
    this = update(t.step).where(*held, t.step.c.name == name)
    connection.execute(this.values(expires_at=after_now(extension_s)))
    return True


_HELD = t.step.c.status.in_((StepStatus.RUNNING, StepStatus.COMPENSATING)) & t.step.c.claim.is_not(
    None
)
