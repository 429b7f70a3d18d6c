"""Sagas that the sweep cannot move on: counted, put off ever longer, and told of once.

Nothing here reads more of a saga than its own row: its plan or its steps may be what is broken.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from sagas.decision import STUMBLES_TO_ALERT, Timing
from sagas.record import tables as t
from sagas.record.alerts import Alert, raise_unless_raised
from sagas.sql import after_now, now

__all__ = ["stumble"]


def stumble(
    connection: Connection, saga_id: UUID, error: str, *, timing: Timing, actor: str
) -> int | None:
    """Count that a saga could not be moved on, and put it off; return how often in a row.

    At first for a lease, then twice as long each time, up to the longest look. None where it is
    gone or has ended, or where somebody else has locked it: to wait for them again would keep the
    sweep from the others.
    """
    query = select(t.saga, now().label("now")).where(
        t.saga.c.id == saga_id, t.saga.c.due_at.is_not(None)
    )
    saga = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if saga is None:
        return None
    stumbles = int(saga.stumbles) + 1
    wait_s = min(timing.lease_s * 2.0 ** min(saga.stumbles, 20), timing.look_s)
    values: dict[str, Any] = {"stumbles": stumbles, "due_at": after_now(wait_s)}
    if stumbles == STUMBLES_TO_ALERT:
        values["waiting"] = _tell(connection, saga, error, actor)
    connection.execute(update(t.saga).where(t.saga.c.id == saga_id).values(values))
    return stumbles


def _tell(connection: Connection, saga: Row[Any], error: str, actor: str) -> dict[str, Any]:
    reason = (
        f"It cannot be moved on, and was tried {STUMBLES_TO_ALERT} times: {error} "
        "It is tried again for as long as it takes: repair what the error says."
    )
    alert = Alert(
        event="saga.waiting",
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
    entry = {"saga_id": saga.id, "at": saga.now, "epoch": saga.epoch, "event": "waiting"}
    told = {"actor": actor, "detail": {"why": reason}}
    connection.execute(insert(t.history).values(**entry, **told))
    return {"reason": reason, "steps": []}
