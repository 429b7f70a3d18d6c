"""The outbox of alerts: written with the transition that raises them, kept until delivery."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, insert, select, type_coerce, update

from sagas.decision import Transition
from sagas.record import tables as t
from sagas.sql import after_now, insert_if_absent, now, statement_now

__all__ = [
    "Alert",
    "PendingAlert",
    "any_due",
    "note_delivery",
    "raise_alert",
    "raise_unless_raised",
    "reserve_alerts",
    "set_aside",
]


@dataclass(frozen=True, slots=True)
class Alert:
    """A saga needs a person: it is parked or blocked, or one of its steps keeps failing.

    Attributes:
        event: "saga.parked": it has stopped until a person decides. "saga.blocked": it goes on by
            itself after a deploy or a repair. "saga.failing": half of the attempts of a long retry
            policy have failed, and the others follow.
        saga_id: the saga's id.
        name: the saga's name.
        key: its business key.
        epoch: identifies the alert, together with the id and the event.
        reason: why, in a sentence.
        steps: the steps at which it is stuck.
        failure: what made it turn back: step, type, code, message.
        at: when it was parked, became blocked or failed so often, in UTC.
        task: the task that no worker runs, if that is why it is blocked.
        queue: the queue of that task's messages.
    """

    event: str
    saga_id: UUID
    name: str
    key: str
    epoch: int
    reason: str
    steps: tuple[str, ...]
    failure: Mapping[str, Any] | None
    at: datetime
    task: str | None = None
    queue: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what webhooks are sent."""
        return {
            "event": self.event,
            "saga_id": str(self.saga_id),
            "name": self.name,
            "key": self.key,
            "epoch": self.epoch,
            "reason": self.reason,
            "steps": list(self.steps),
            "failure": self.failure and dict(self.failure),
            "at": self.at.isoformat(),
            "task": self.task,
            "queue": self.queue,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Alert":
        """Read what ``to_json`` wrote."""
        values = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **values,
                "saga_id": UUID(body["saga_id"]),
                "steps": tuple(body["steps"]),
                "at": datetime.fromisoformat(body["at"]),
            }
        )


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """An alert that some receiver does not have yet, as its row has it.

    It is read when it is delivered, so that a row that this version cannot read, because a later
    one has written it, keeps none of the others back.
    """

    id: int
    saga_id: UUID
    attempts: int
    body: str = field(repr=False)
    receivers: str = field(repr=False)

    @property
    def alert(self) -> Alert:
        """The alert; raises whatever keeps this version from reading it."""
        return Alert.from_json(json.loads(self.body))

    @property
    def delivered_to(self) -> frozenset[str]:
        """The receivers that have it; raises likewise."""
        return frozenset(json.loads(self.receivers))


def raise_alert(connection: Connection, made: Transition) -> None:
    """Put the alert that a transition raises into the outbox."""
    saga = made.after
    reasons: dict[str | None, Mapping[str, Any] | None] = {
        "parked": saga.parked,
        "blocked": saga.blocked,
        "failing": made.decision.failing,
    }
    if (why := reasons.get(made.alert)) is None:
        raise AssertionError(f"Saga {saga.id} raises an alert without a reason.")
    alert = Alert(
        event=f"saga.{made.alert}",
        saga_id=saga.id,
        name=saga.name,
        key=saga.key,
        epoch=saga.epoch,
        reason=why["reason"],
        steps=tuple(why["steps"]),
        failure=saga.failure,
        at=saga.now,
        task=why.get("task"),
        queue=why.get("queue"),
    )
    connection.execute(insert(t.alert).values(_row(alert)))


def raise_unless_raised(connection: Connection, alert: Alert) -> None:
    """Put an alert into the outbox unless this epoch of the saga has one of its kind."""
    insert_if_absent(connection, t.alert, _row(alert))


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "saga_id": alert.saga_id,
        "epoch": alert.epoch,
        "kind": alert.event.partition(".")[2],
        "body": alert.to_json(),
        "delivered_to": {},
        "attempts": 0,
        "due_at": now(),
    }


def any_due(connection: Connection) -> bool:
    """Tell, without a lock, whether an alert is due."""
    query = select(t.alert.c.id).where(t.alert.c.due_at <= statement_now()).limit(1)
    return connection.execute(query).one_or_none() is not None


def reserve_alerts(
    connection: Connection, *, limit: int, reservation_s: float
) -> Sequence[PendingAlert]:
    """Return alerts that are due; no other worker gets them for *reservation_s* seconds."""
    columns = (t.alert.c.id, t.alert.c.saga_id, t.alert.c.attempts)
    # As text: a row that is no JSON would otherwise fail the whole query.
    texts = (type_coerce(t.alert.c.body, Text), type_coerce(t.alert.c.delivered_to, Text))
    due = (
        select(*columns, *texts)
        .where(t.alert.c.due_at <= statement_now())
        .order_by(t.alert.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if rows:
        reserved = t.alert.c.id.in_([row.id for row in rows])
        connection.execute(update(t.alert).where(reserved).values(due_at=after_now(reservation_s)))
    return [PendingAlert(*row) for row in rows]


def set_aside(connection: Connection, pending: PendingAlert, *, again_in_s: float) -> None:
    """Count another try of an alert that cannot be read, and postpone the next one."""
    values = {"attempts": pending.attempts + 1, "due_at": after_now(again_in_s)}
    connection.execute(update(t.alert).where(t.alert.c.id == pending.id).values(values))


def note_delivery(
    connection: Connection, pending: PendingAlert, to: Collection[str], *, again_in_s: float | None
) -> None:
    """Note who has received an alert; *again_in_s* is None if no receiver is left."""
    values: dict[str, Any] = {
        "delivered_to": dict.fromkeys(sorted(pending.delivered_to | set(to)), True),
        "attempts": pending.attempts + 1,
        "due_at": None if again_in_s is None else after_now(again_in_s),
    }
    connection.execute(update(t.alert).where(t.alert.c.id == pending.id).values(values))
