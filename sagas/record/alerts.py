"""The outbox of alerts: each parked saga's, written with the parking, kept until delivered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from sagas.decision import Decision, SagaState
from sagas.record import tables as t
from sagas.sql import after_now, now

__all__ = [
    "Alert",
    "PendingAlert",
    "any_due",
    "note_delivery",
    "raise_alert",
    "take_alerts",
]


@dataclass(frozen=True, slots=True)
class Alert:
    """A saga is parked: it needs a person.

    Attributes:
        saga_id: the saga's id.
        name: the saga's name.
        key: its business key.
        epoch: with the id it names this alert: a saga that is parked again has another epoch.
        reason: why it was parked, in a sentence.
        steps: the steps at which it is stuck.
        failure: what made it turn back: step, type, code, message.
        parked_at: when it was parked, in UTC.
    """

    saga_id: UUID
    name: str
    key: str
    epoch: int
    reason: str
    steps: tuple[str, ...]
    failure: Mapping[str, Any] | None
    parked_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return what webhooks are sent."""
        return {
            "event": "saga.parked",
            "saga_id": str(self.saga_id),
            "name": self.name,
            "key": self.key,
            "epoch": self.epoch,
            "reason": self.reason,
            "steps": list(self.steps),
            "failure": self.failure and dict(self.failure),
            "parked_at": self.parked_at.isoformat(),
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
                "parked_at": datetime.fromisoformat(body["parked_at"]),
            }
        )


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """An alert that was not delivered to everybody yet."""

    id: int
    alert: Alert
    delivered_to: frozenset[str]
    attempts: int


def raise_alert(connection: Connection, state: SagaState, decision: Decision) -> None:
    """Put the alert of a saga that is being parked into the outbox."""
    parked = decision.values["parked"]
    alert = Alert(
        saga_id=state.id,
        name=state.name,
        key=state.key,
        epoch=state.epoch + decision.raise_epoch,
        reason=parked["reason"],
        steps=tuple(parked["steps"]),
        failure=decision.values.get("failure", state.failure),
        parked_at=state.now,
    )
    row = {"saga_id": alert.saga_id, "epoch": alert.epoch, "body": alert.to_json()}
    first = {"delivered_to": {}, "attempts": 0, "due_at": now()}
    connection.execute(insert(t.alert).values({**row, **first}))


def any_due(connection: Connection) -> bool:
    """Tell, without a lock, whether an alert is due."""
    query = select(t.alert.c.id).where(t.alert.c.due_at <= now()).limit(1)
    return connection.execute(query).one_or_none() is not None


def take_alerts(connection: Connection, *, limit: int, hold_s: float) -> Sequence[PendingAlert]:
    """Take alerts that are due, and keep them from other workers for *hold_s* seconds."""
    due = (
        select(t.alert)
        .where(t.alert.c.due_at <= now())
        .order_by(t.alert.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if rows:
        taken = t.alert.c.id.in_([row.id for row in rows])
        connection.execute(update(t.alert).where(taken).values(due_at=after_now(hold_s)))
    return [
        PendingAlert(row.id, Alert.from_json(row.body), frozenset(row.delivered_to), row.attempts)
        for row in rows
    ]


def note_delivery(
    connection: Connection, pending: PendingAlert, to: Collection[str], *, again_in_s: float | None
) -> None:
    """Note to whom an alert was delivered; *again_in_s* is None where nobody is left."""
    values: dict[str, Any] = {
        "delivered_to": dict.fromkeys(sorted(pending.delivered_to | set(to)), True),
        "attempts": pending.attempts + 1,
        "due_at": None if again_in_s is None else after_now(again_in_s),
    }
    connection.execute(update(t.alert).where(t.alert.c.id == pending.id).values(values))
