"""Sagas that the sweep fails to advance: counted, postponed ever longer, and reported once.

Nothing here reads more of a saga than its own row: its plan or its steps may be what is broken.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from sagas.decision import FAILED_SWEEPS_TO_ALERT, Blocked, Timing
from sagas.events import Event
from sagas.record import tables as t
from sagas.record.alerts import Alert, raise_unless_raised
from sagas.sql import after_now, now

__all__ = ["count_failed_sweep"]


def count_failed_sweep(
    connection: Connection, saga_id: UUID, error: str, *, timing: Timing, actor: str
) -> int | None:
    """Count a failed sweep of a saga, postpone the next one, and return how many failed in a row.

    The first postponement is a lease, and each further one twice as long, up to the longest check
    interval. Returns None where the saga is gone or has ended, or where another process has locked
    it: waiting for the lock would keep the sweep from the other sagas.
    """
    query = select(t.saga, now().label("now")).where(
        t.saga.c.id == saga_id, t.saga.c.due_at.is_not(None)
    )
    saga = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if saga is None:
        return None
    failed_sweeps = int(saga.failed_sweeps) + 1
    wait_s = min(timing.lease_s * 2.0 ** min(saga.failed_sweeps, 20), timing.max_check_interval_s)
    values: dict[str, Any] = {
        "failed_sweeps": failed_sweeps,
        "due_at": after_now(wait_s),
        "turn": None,
    }
    if failed_sweeps == FAILED_SWEEPS_TO_ALERT:
        values["blocked"] = _report(connection, saga, error, actor)
    connection.execute(update(t.saga).where(t.saga.c.id == saga_id).values(values))
    return failed_sweeps


def _report(connection: Connection, saga: Row[Any], error: str, actor: str) -> Blocked:
    reason = (
        f"{FAILED_SWEEPS_TO_ALERT} sweeps in a row failed to advance it: {error} "
        "The sweep keeps trying; repair the cause."
    )
    alert = Alert(
        event="saga.blocked",
        saga_id=saga.id,
        name=saga.name,
        key=saga.key,
        epoch=saga.epoch,
        reason=reason,
        steps=(),
        failure=saga.failure,
        at=saga.now,
    )
    raise_unless_raised(connection, alert)
    entry = {"saga_id": saga.id, "at": saga.now, "epoch": saga.epoch, "event": Event.BLOCKED}
    connection.execute(insert(t.history).values(**entry, actor=actor, detail={"why": reason}))
    return {"reason": reason, "steps": []}
