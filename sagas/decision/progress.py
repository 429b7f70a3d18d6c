"""Whose turn it is and what is settled: the questions that every decision asks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sagas.decision.decision import Dispatch, StepChange
from sagas.decision.state import SagaState, StepState
from sagas.plan import PlannedCall, PlannedStep
from sagas.states import ENDED, Operation, SagaStatus, StepStatus

__all__ = [
    "after",
    "awaited_call",
    "awaited_step",
    "backs_off",
    "call_of",
    "current",
    "gave_up",
    "has_attempts_left",
    "overdue",
    "remaining",
    "settled",
    "with_change",
]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def awaited_call(saga: SagaState) -> PlannedCall | None:
    """Return the call whose message the saga waits for, None where it waits for no message."""
    awaited = awaited_step(saga)
    return None if awaited is None else call_of(saga, *awaited)


def awaited_step(saga: SagaState) -> tuple[str, Operation] | None:
    """Return the step and the operation of that message."""
    if saga.status in ENDED:
        return None
    operation = COMPENSATION if saga.status is SagaStatus.COMPENSATING else ACTION
    name = current(saga, operation)
    if name is None or saga.step(name).held:
        return None
    if operation is ACTION and (saga.failure or gave_up(saga.step(name))):
        return None  # it is about to turn back, which needs no message
    return name, operation


def current(saga: SagaState, operation: Operation) -> str | None:
    """Return the step whose turn it is: the first in its direction that is not settled."""
    names = (step.name for step in _in_order(saga, operation))
    return next((name for name in names if not settled(saga, name, operation)), None)


def _in_order(saga: SagaState, operation: Operation) -> tuple[PlannedStep, ...]:
    if operation is ACTION:
        return saga.plan.steps
    return tuple(step for step in reversed(saga.plan.steps) if _needs_undo(saga, step))


def _needs_undo(saga: SagaState, planned: PlannedStep) -> bool:
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
    """Tell whether the saga has a deadline that still applies and has passed."""
    return saga.deadline_at is not None and saga.deadline_at <= saga.now


def gave_up(step: StepState) -> bool:
    """Tell whether the action has failed and no further attempt is planned."""
    return step.status is StepStatus.FAILED or (
        step.status is StepStatus.UNKNOWN and step.retry_at is None
    )


def backs_off(saga: SagaState, step: StepState, operation: Operation) -> bool:
    """Tell whether the next attempt of this operation is planned for later."""
    # On the way back, a retry that was planned for the action no longer counts.
    own = operation is ACTION or step.status is StepStatus.COMPENSATING
    return own and step.retry_at is not None and step.retry_at > saga.now


def has_attempts_left(saga: SagaState, step: StepState, operation: Operation = ACTION) -> bool:
    """Tell whether the policy allows one more attempt of the operation.

    What was lost with its worker, or postponed, is counted apart: it says nothing about the step.
    """
    policy, lost = call_of(saga, step.name, operation).retry, step.lost(operation)
    return step.counted(operation) < policy.max_attempts and lost < policy.max_losses


def remaining(saga: SagaState, operation: Operation, countdown_s: float = 0.0) -> Dispatch | None:
    """Return the chain of the steps that are not settled, None where all are."""
    steps = tuple(
        step.name for step in _in_order(saga, operation) if not settled(saga, step.name, operation)
    )
    return Dispatch(operation, steps, countdown_s) if steps else None


def call_of(saga: SagaState, name: str, operation: Operation) -> PlannedCall:
    """Return the planned call of one direction of a step, which must have that direction."""
    call = saga.plan[name].call(operation)
    if call is None:
        raise AssertionError(f"{name} has no compensation")
    return call


def with_change(saga: SagaState, change: StepChange) -> SagaState:
    """Return the saga as it will be once the change is written."""
    fields = StepState.__dataclass_fields__  # the other columns matter to no decision
    known: dict[str, Any] = {n: value for n, value in change.values.items() if n in fields}
    step = replace(saga.step(change.name), status=change.status, **known)
    return replace(saga, steps={**saga.steps, change.name: step})


def after(saga: SagaState, seconds: float) -> datetime:
    """Return the moment *seconds* after the saga's now."""
    return saga.now + timedelta(seconds=seconds)
