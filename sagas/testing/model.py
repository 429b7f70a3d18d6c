"""A saga as the rules see it, in plain data, and the violation of a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas.events import Event
from sagas.plan import Plan
from sagas.record.queries import HistoryEntry
from sagas.states import SagaStatus, StepStatus

__all__ = ["APPLIED", "BY_HAND", "DUPLICATE", "REFUSED", "Effect", "Observed", "Violation"]

APPLIED, REFUSED, DUPLICATE = "applied", "refused", "duplicate"

#: The events of an operator's commands on a parked saga.
BY_HAND = frozenset({Event.RETRIED, Event.SKIPPED_BY_OPERATOR, Event.RESOLVED})


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of a participant's append-only ledger: what it did with one request.

    An effect on several rows is one line. A participant that records only what it has applied
    leaves ``result`` out.

    Attributes:
        saga_id: ``ctx.saga_id``.
        step: ``ctx.step``.
        operation: ``ctx.operation``, "action" or "compensation".
        result: "applied"; "duplicate" for a repeat that was recognised and changed nothing; or
            "refused", which changed nothing either: an action that business rules or a tombstone
            refused, or a compensation that found nothing to undo and left a tombstone. A failed
            compensation has no line.
        key: ``ctx.idempotency_key``, where the ledger keeps it.
    """

    saga_id: UUID
    step: str
    operation: str
    result: str = APPLIED
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One saga with everything that the rules check.

    ``observe`` reads it from a record; a simulation makes it without one.

    Attributes:
        id: the saga's id.
        name: its name.
        key: its business key.
        status: its current status.
        epoch: its current epoch.
        plan: the plan that it is pinned to.
        steps: the status of each step that has a row; a step without one is PENDING.
        history: its history, the oldest entry first.
        alerts: the epochs in which it was parked and raised an alert.
        effects: its lines in the ledger, those of one step in the order in which they were written;
            None if there is no ledger: then only the record is checked.
        waits: whether it waits for a timer in the future: a delayed start or a retry.
        plan_id: the hash of the plan in the saga's row.
        plan_hash: the hash of the plan's current body.
    """

    id: UUID
    name: str
    key: str
    status: SagaStatus
    epoch: int
    plan: Plan
    steps: Mapping[str, StepStatus]
    history: Sequence[HistoryEntry]
    alerts: Sequence[int] = ()
    effects: Sequence[Effect] | None = None
    waits: bool = False
    plan_id: str = ""
    plan_hash: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule; as a string, it is one line.

    Attributes:
        rule: the rule's number, such as "S4".
        text: what breaks it.
        saga: the saga's id; None if the rule is not about one saga.
        name: the saga's name.
        key: its business key.
    """

    rule: str
    text: str
    saga: UUID | None = None
    name: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        where = "" if self.saga is None else f" {self.name} {self.key} ({self.saga})"
        return f"{self.rule}{where}: {self.text}"
