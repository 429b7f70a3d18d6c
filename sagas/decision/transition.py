"""The fold: from a saga and a decision to the saga afterwards and its history.

Nothing else composes these rules: the store writes what comes out of here, and the simulation, the
searches and the model tests run the same function.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sagas.decision.columns import SagaColumns, StepColumns
from sagas.decision.decision import Decision, StepChange
from sagas.decision.plain import turn_of
from sagas.decision.progress import with_change
from sagas.decision.state import SagaState
from sagas.events import Event
from sagas.states import SAGA_EDGES, STEP_EDGES, Operation, SagaStatus

__all__ = ["Decide", "Entry", "Transition", "transition"]

Decide: TypeAlias = Callable[[SagaState], Decision]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a saga's history; the writer adds the saga and the actor.

    *step*, *operation* and *attempt* are None where the entry is about the whole saga.
    """

    at: datetime
    epoch: int
    event: Event
    step: str | None = None
    operation: Operation | None = None
    attempt: int | None = None
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision and what it means: the saga before, the saga after, the history in between."""

    before: SagaState
    decision: Decision
    after: SagaState
    entries: tuple[Entry, ...]

    @property
    def alert(self) -> Literal["parked", "blocked", "failing"] | None:
        """The alert that this transition raises."""
        if SagaStatus.FAILED in self.decision.path:
            return "parked"
        if self.decision.values.get("blocked"):
            return "blocked"
        return "failing" if self.decision.failing else None


def transition(saga: SagaState, decide: Decide) -> Transition:
    """Ask *decide*, add the rules that hold for every decision, and apply the result.

    Raises:
        AssertionError: the decision takes an edge that ``sagas.states`` does not have, or writes a
            column that is not in ``columns``.
    """
    decision = _with_progress(saga, _due_by_deadline(saga, decide(saga)))
    after = _apply(saga, decision)
    if (turn := turn_of(after)) != saga.turn:
        decision = replace(decision, values={**decision.values, "turn": turn})
        after = replace(after, turn=turn)
    return Transition(saga, decision, after, tuple(_entries(saga, decision)))


def _due_by_deadline(saga: SagaState, decision: Decision) -> Decision:
    """Make the saga due at its deadline where the decision would sleep through it."""
    deadline = decision.values.get("deadline_at", saga.deadline_at)
    due = decision.values.get("due_at")
    if deadline is None or due is None or due <= deadline:
        return decision
    return replace(decision, values={**decision.values, "due_at": max(deadline, saga.now)})


def _with_progress(saga: SagaState, decision: Decision) -> Decision:
    """Reset the counters of trouble where the decision moves the saga on."""
    values: SagaColumns = {**decision.values}
    if saga.failed_sweeps and (values or decision.steps or decision.path):
        values["failed_sweeps"] = 0
        if saga.blocked and "task" not in saga.blocked:
            values.setdefault("blocked", None)
    if (saga.resends or saga.blocked) and (decision.steps or decision.path):
        values |= {"resends": 0, "blocked": None}
    if saga.copies and (decision.steps or decision.path):
        values["copies"] = 0
    return decision if values == decision.values else replace(decision, values=values)


_SAGA_COLUMNS = SagaColumns.__optional_keys__
_STEP_COLUMNS = StepColumns.__optional_keys__
#: The columns that a later decision reads; the others are for the sweep's query and for people.
_IN_STATE = _SAGA_COLUMNS & SagaState.__dataclass_fields__.keys()


def _apply(saga: SagaState, decision: Decision) -> SagaState:
    status = saga.status
    for following in decision.path:
        if following not in SAGA_EDGES[status]:
            raise AssertionError(f"Saga {saga.id}: no edge {status} -> {following}.")
        status = following
    _refuse_unknown(saga, decision.values, _SAGA_COLUMNS)
    values: dict[str, Any] = {n: value for n, value in decision.values.items() if n in _IN_STATE}
    epoch = saga.epoch + decision.raise_epoch
    for change in decision.steps:
        saga = _apply_change(saga, change)
    return replace(saga, status=status, epoch=epoch, **values)


def _apply_change(saga: SagaState, change: StepChange) -> SagaState:
    before = saga.step(change.name).status
    if change.status not in STEP_EDGES[before]:
        raise AssertionError(f"Saga {saga.id}, {change.name}: no edge {before} -> {change.status}.")
    _refuse_unknown(saga, change.values, _STEP_COLUMNS)
    return with_change(saga, change)


def _refuse_unknown(saga: SagaState, values: Mapping[str, object], known: frozenset[str]) -> None:
    if unknown := values.keys() - known:
        raise AssertionError(f"Saga {saga.id}: no decision may write {', '.join(sorted(unknown))}.")


def _entries(saga: SagaState, decision: Decision) -> Iterator[Entry]:
    at, epoch = saga.now, saga.epoch + decision.raise_epoch
    if decision.note:
        why = {"why": decision.why} if decision.why else None
        yield Entry(at, epoch, Event(decision.note), detail=why)
    for change in decision.steps:
        yield Entry(
            at,
            epoch,
            Event(change.status),
            change.name,
            change.operation,
            change.attempt,
            change.detail,
        )
    if decision.failing:
        yield Entry(at, epoch, Event.KEEPS_FAILING, detail={"why": decision.failing["reason"]})
    for status in decision.path:
        yield Entry(at, epoch, Event(status), detail=_reason(saga, decision, status))


def _reason(saga: SagaState, decision: Decision, status: SagaStatus) -> Mapping[str, object] | None:
    if status is SagaStatus.FAILED:
        return decision.values.get("parked")
    if status is SagaStatus.COMPENSATING:
        return decision.values.get("failure", saga.failure)
    return None
