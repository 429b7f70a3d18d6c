"""What an operator may ask of a saga, and what follows."""

from dataclasses import replace

from sagas.decision.columns import (
    Parked,
    Resolved,
    SagaColumns,
    SagaFailure,
    StepColumns,
    attempt_postponed,
)
from sagas.decision.decision import Accepted, Decision, Declined, StepChange
from sagas.decision.ending import end, left_undone
from sagas.decision.progress import after, current, remaining, with_change
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import may_have_passed_pivot, turn_back
from sagas.events import Event
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["cancel", "resolve", "retry", "skip"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def cancel(saga: SagaState, *, reason: str, timing: Timing) -> Decision:
    """Turn the saga back, now or as soon as the attempt that runs has ended."""
    if saga.status in (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED):
        return Decision(Accepted())
    if reason_against := _too_late(saga):
        return Decision(Declined(reason_against))
    if saga.failure:  # it is about to turn back already
        return Decision(Accepted())
    failure: SagaFailure = {"step": None, "type": "Cancelled", "message": reason}
    cancelled = replace(saga, failure=failure)
    running = current(saga, ACTION)
    values: SagaColumns = {"failure": failure, "deadline_at": None}
    if running is not None and saga.step(running).held:
        # Undoing what may still be running would race with it: its end, or its loss, comes first.
        return Decision(Accepted(), values=values, note=Event.CANCEL_REQUESTED)
    turned = turn_back(cancelled, timing)
    return replace(
        turned, answer=Accepted(), values={**turned.values, **values}, note=Event.CANCELLED
    )


def _too_late(saga: SagaState) -> str | None:
    if saga.status is SagaStatus.COMPLETED:
        return "it is COMPLETED: start another saga that makes up for it"
    if saga.status is SagaStatus.FAILED:
        return "it is parked: retry, skip or resolve it"
    if may_have_passed_pivot(saga):
        return "its pivot has begun, after which there is no way back"
    return None


def retry(saga: SagaState, *, timing: Timing) -> Decision:
    """Try the failed steps of a parked saga again, with as many attempts as at first."""
    if (parked := _parked(saga)) is None:
        return _not_parked(saga)
    operation = Operation(parked["operation"])
    again = (saga.step(name) for name in parked["steps"])
    changes = tuple(
        _start_over(step, operation, saga) for step in again if _can_retry(step, operation)
    )
    if not changes:
        steps = ", ".join(parked["steps"])
        return Decision(
            Declined(f"{steps} cannot be tried again: skip the step or resolve the saga")
        )
    return _unparked(saga, operation, changes, timing, note=Event.RETRIED)


def skip(saga: SagaState, step: str, *, timing: Timing) -> Decision:
    """Go on from a failed step of a parked saga: a person has taken care of it."""
    if (parked := _parked(saga)) is None:
        return _not_parked(saga)
    if step not in parked["steps"]:
        return Decision(Declined(f"it is stuck at {', '.join(parked['steps'])}, not at {step}"))
    operation = Operation(parked["operation"])
    attempt = saga.step(step).attempts(operation)
    columns: StepColumns = {"claim": None, "retry_at": None, "doubtful": False}
    change = StepChange(step, operation, attempt, StepStatus.SKIPPED, columns)
    left = [name for name in parked["steps"] if name != step]
    if not left:
        return _unparked(saga, operation, (change,), timing, note=Event.SKIPPED_BY_OPERATOR)
    return Decision(  # still parked, at the steps that are left
        Accepted(),
        raise_epoch=True,
        values={"parked": left_undone(left)},
        steps=(change,),
        note=Event.SKIPPED_BY_OPERATOR,
    )


def resolve(saga: SagaState, *, completed: bool | None, resolved: Resolved) -> Decision:
    """End a parked saga on an operator's word; *completed* is None for the way it was going."""
    if (parked := _parked(saga)) is None:
        return _not_parked(saga)
    forward = Operation(parked["operation"]) is ACTION if completed is None else completed
    status = SagaStatus.COMPLETED if forward else SagaStatus.COMPENSATED
    values: SagaColumns = {"resolved": resolved, "parked": None}
    return Decision(Accepted(), (status,), raise_epoch=True, values=values, note=Event.RESOLVED)


def _parked(saga: SagaState) -> Parked | None:
    return saga.parked if saga.status is SagaStatus.FAILED else None


def _not_parked(saga: SagaState) -> Decision:
    return Decision(Declined(f"it is {saga.status}, not parked (FAILED)"))


def _can_retry(step: StepState, operation: Operation) -> bool:
    return operation is ACTION or step.status is StepStatus.COMPENSATION_FAILED


def _start_over(step: StepState, operation: Operation, saga: SagaState) -> StepChange:
    columns: StepColumns = {"claim": None, "retry_at": saga.now}
    if operation is COMPENSATION:
        columns |= {"compensation_attempt": 0, "compensation_losses": 0}
        columns |= attempt_postponed(operation, 0, 0)
        return StepChange(step.name, operation, 0, StepStatus.COMPENSATING, columns)
    columns |= {"attempt": 0, "probe_attempt": 0, "losses": 0}
    columns |= attempt_postponed(operation, 0, 0)
    status = StepStatus.UNKNOWN if step.status is StepStatus.UNKNOWN else StepStatus.PENDING
    return StepChange(step.name, operation, 0, status, columns)


def _unparked(
    saga: SagaState,
    operation: Operation,
    changes: tuple[StepChange, ...],
    timing: Timing,
    *,
    note: Event,
) -> Decision:
    changed = saga
    for change in changes:
        changed = with_change(changed, change)
    moving = SagaStatus.IN_PROGRESS if operation is ACTION else SagaStatus.COMPENSATING
    values: SagaColumns = {"parked": None, "ended_at": None}
    if operation is ACTION:
        values["failure"] = None  # the history keeps it
    dispatch = remaining(changed, operation)
    path: tuple[SagaStatus, ...] = (moving,)
    if dispatch is None:
        status, ending = end(changed, operation)
        path, values = (moving, status), {**values, **ending}
    else:
        values |= {"due_at": after(saga, timing.lease_s), "checks": 0, "sent_at": saga.now}
    return Decision(
        Accepted(),
        path,
        raise_epoch=True,
        values=values,
        steps=changes,
        note=note,
        dispatch=dispatch,
    )
