"""What a decision comes to: the saga once it is written, and what the history says of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sagas.decision.answers import Decision
from sagas.decision.order import with_change
from sagas.decision.state import SagaState
from sagas.states import SAGA_EDGES, STEP_EDGES, Operation, SagaStatus

__all__ = ["Entry", "entries", "written"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a saga's history; who writes it adds the saga and the actor.

    *step*, *operation* and *attempt* are None where it speaks of the saga.
    """

    at: datetime
    epoch: int
    event: str
    step: str | None = None
    operation: Operation | None = None
    attempt: int | None = None
    detail: Mapping[str, Any] | None = None


#: The columns of a saga that decisions look at, and may change; due_at is the sweep's alone.
_LOOKED_AT = (
    "looks",
    "sent_at",
    "failure",
    "parked",
    "deadline_at",
    "resends",
    "stumbles",
    "waiting",
)


def written(saga: SagaState, decision: Decision) -> SagaState:
    """Return the saga as it is once the decision is written.

    Raises:
        AssertionError: the saga or a step would take an edge that is not drawn.
    """
    status = saga.status
    for following in decision.path:
        if following not in SAGA_EDGES[status]:
            raise AssertionError(f"Saga {saga.id}: no edge {status} -> {following}.")
        status = following
    values = {name: decision.values[name] for name in _LOOKED_AT if name in decision.values}
    epoch = saga.epoch + decision.raise_epoch
    for change in decision.steps:
        before = saga.step(change.name).status
        if change.status not in STEP_EDGES[before]:
            raise AssertionError(
                f"Saga {saga.id}, {change.name}: no edge {before} -> {change.status}."
            )
        saga = with_change(saga, change)
    return replace(saga, status=status, epoch=epoch, **values)


def entries(saga: SagaState, decision: Decision) -> Iterator[Entry]:
    """Return what the history says of a decision on this saga, in order."""
    at, epoch = saga.now, saga.epoch + decision.raise_epoch
    if decision.note:
        why = {"why": decision.why} if decision.why else None
        yield Entry(at, epoch, decision.note, detail=why)
    for change in decision.steps:
        yield Entry(
            at, epoch, change.status, change.name, change.operation, change.attempt, change.detail
        )
    for status in decision.path:
        detail = decision.values.get("parked") if status is SagaStatus.FAILED else None
        if status is SagaStatus.COMPENSATING:
            detail = decision.values.get("failure", saga.failure)
        yield Entry(at, epoch, status, detail=detail)
