"""What is known of a saga, as plain data, and what is said where it breaks a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas.plan import Plan
from sagas.record.queries import HistoryEntry
from sagas.states import SagaStatus, StepStatus

__all__ = ["APPLIED", "BY_HAND", "DUPLICATE", "REFUSED", "Effect", "Observed", "Violation"]

APPLIED, REFUSED, DUPLICATE = "applied", "refused", "duplicate"

#: What a person does to a parked saga, as the history notes it.
BY_HAND = frozenset({"retried", "skipped", "resolved"})


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of a participant's append-only ledger: what it did with one request.

    An effect that touches several rows is one line. A participant that only writes down what it
    applied leaves ``result`` out.

    Attributes:
        saga_id: ``ctx.saga_id``.
        step: ``ctx.step``.
        operation: ``ctx.operation``, "action" or "compensation".
        result: "applied"; "duplicate", a repeat that was recognised and changed nothing; or
            "refused", which changed nothing either: an action by the rules of the business or by a
            tombstone, a compensation because it found nothing to undo, and left the tombstone. A
            compensation that failed is no line.
        key: ``ctx.idempotency_key``, where the ledger has it.
    """

    saga_id: UUID
    step: str
    operation: str
    result: str = APPLIED
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One saga with everything that is known of it.

    ``observe`` makes them of a record; whoever simulates sagas makes them without one.

    Attributes:
        id: the saga's id.
        name: its name.
        key: its business key.
        status: its status now.
        epoch: its epoch now.
        plan: what it is pinned to.
        steps: the status of each step that has a row; without one it is PENDING.
        history: its history, the oldest entry first.
        alerts: the epochs of the alerts that told of its parking.
        effects: its lines of the ledger, those of one step in the order in which they were written;
            None where no ledger is given, which leaves out what only a ledger can tell.
        waits: whether it waits for a timer that is in the future: a start with a delay, a retry.
        plan_id: the hash that the saga's row is pinned to.
        plan_hash: the hash of the plan's body as it is now.
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
    """A rule that does not hold; as a string it is one line.

    Attributes:
        rule: its number, such as "S4".
        text: what was seen.
        saga: the saga's id, None where it is no matter of one saga.
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
