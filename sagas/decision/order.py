"""Whose turn it is, what is settled, and how a saga ends: what every decision rests on."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sagas.decision.answers import Decision, Dispatch, StepChange
from sagas.decision.state import SagaState, StepState
from sagas.plan import PlannedCall, PlannedStep
from sagas.states import ENDED, Operation, SagaStatus, StepStatus

__all__ = [
    "after",
    "awaited",
    "backs_off",
    "before_deadline",
    "call_of",
    "column",
    "current",
    "end",
    "gave_up",
    "has_attempts_left",
    "overdue",
    "remaining",
    "settled",
    "with_change",
]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def awaited(saga: SagaState) -> PlannedCall | None:
    """Return the call whose message the saga waits for, or None where it waits for no message."""
    if saga.status in ENDED:
        return None
    operation = COMPENSATION if saga.status is SagaStatus.COMPENSATING else ACTION
    name = current(saga, operation)
    if name is None or saga.step(name).held:
        return None
    if operation is ACTION and (saga.failure or gave_up(saga.step(name))):
        return None  # it waits for its turn-back, not for a message
    return call_of(saga, name, operation)


def current(saga: SagaState, operation: Operation) -> str | None:
    """Return the step whose turn it is: the first in its direction that is not settled."""
    names = (step.name for step in _in_order(saga, operation))
    return next((name for name in names if not settled(saga, name, operation)), None)


def _in_order(saga: SagaState, operation: Operation) -> tuple[PlannedStep, ...]:
    if operation is ACTION:
        return saga.plan.steps
    return tuple(step for step in reversed(saga.plan.steps) if _to_undo(saga, step))


def _to_undo(saga: SagaState, planned: PlannedStep) -> bool:
    never_ran = (StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.FAILED)
    return planned.compensation is not None and saga.step(planned.name).status not in never_ran


def settled(saga: SagaState, name: str, operation: Operation) -> bool:
    """Tell whether the step needs nothing more in this direction."""
    step = saga.step(name)
    if operation is COMPENSATION:
        return step.status in (StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED)
    if step.status in (StepStatus.SUCCESS, StepStatus.SKIPPED):
        return True
    return saga.plan[name].best_effort and gave_up(step)


def overdue(saga: SagaState) -> bool:
    """Tell whether the saga has a deadline that still applies, and has passed."""
    return saga.deadline_at is not None and saga.deadline_at <= saga.now


def before_deadline(saga: SagaState, decision: Decision) -> Decision:
    """Let the saga be due at its deadline, where what was decided would let that pass."""
    deadline = decision.values.get("deadline_at", saga.deadline_at)
    due = decision.values.get("due_at")
    if deadline is None or due is None or due <= deadline:
        return decision
    return replace(decision, values={**decision.values, "due_at": max(deadline, saga.now)})


def gave_up(step: StepState) -> bool:
    """Tell whether the action has failed, and no further attempt of it is planned."""
    return step.status is StepStatus.FAILED or (
        step.status is StepStatus.UNKNOWN and step.retry_at is None
    )


def backs_off(saga: SagaState, step: StepState, operation: Operation) -> bool:
    """Tell whether the next attempt of this operation is planned for later."""
    # On the way back, an attempt that was planned for the action is waited for no more.
    own = operation is ACTION or step.status is StepStatus.COMPENSATING
    return own and step.retry_at is not None and step.retry_at > saga.now


def has_attempts_left(saga: SagaState, step: StepState) -> bool:
    """Tell whether the action may be attempted once more."""
    return step.attempt < call_of(saga, step.name, ACTION).retry.max_attempts


def end(saga: SagaState, operation: Operation) -> tuple[SagaStatus, dict[str, Any]]:
    """Return the status in which a saga ends whose steps are settled, and the columns with it."""
    values: dict[str, Any] = {
        "due_at": None,
        "sent_at": None,
        "deadline_at": None,
        "ended_at": saga.now,
    }
    if operation is ACTION:
        return SagaStatus.COMPLETED, values
    left = [planned.name for planned in saga.plan if _left_behind(saga, planned)]
    if not left:
        return SagaStatus.COMPENSATED, values
    reason = f"What these steps did, or may have done, is not undone: {', '.join(left)}."
    parked = {"reason": reason, "steps": left, "operation": COMPENSATION}
    return SagaStatus.FAILED, {**values, "parked": parked}


def _left_behind(saga: SagaState, planned: PlannedStep) -> bool:
    step = saga.step(planned.name)
    if step.status is StepStatus.COMPENSATION_FAILED:
        return True
    # It happened or may have, nothing can undo it, and nobody said that it does not matter.
    harmless = planned.compensation is not None or planned.best_effort or planned.read_only
    return step.status in (StepStatus.SUCCESS, StepStatus.UNKNOWN) and not harmless


def remaining(saga: SagaState, operation: Operation, countdown_s: float = 0.0) -> Dispatch | None:
    """Return the chain of the steps that are not settled, or None where all are."""
    steps = tuple(
        step.name for step in _in_order(saga, operation) if not settled(saga, step.name, operation)
    )
    return Dispatch(operation, steps, countdown_s) if steps else None


def call_of(saga: SagaState, name: str, operation: Operation) -> PlannedCall:
    """Return what the plan says of one direction of a step; it must have that direction."""
    planned = saga.plan[name]
    call = planned.action if operation is ACTION else planned.compensation
    if call is None:
        raise AssertionError(f"{name} has no compensation")
    return call


def with_change(saga: SagaState, change: StepChange) -> SagaState:
    """Return the saga as it is once the change is written."""
    known = StepState.__dataclass_fields__
    step = replace(
        saga.step(change.name),
        status=change.status,
        **{name: value for name, value in change.values.items() if name in known},
    )
    return replace(saga, steps={**saga.steps, change.name: step})


def column(operation: Operation, name: str) -> str:
    """Return the step's column for something that its two operations have apart."""
    return name if operation is ACTION else f"compensation_{name}"


def after(saga: SagaState, seconds: float) -> datetime:
    """Return the moment so many seconds after the saga's now."""
    return saga.now + timedelta(seconds=seconds)
