"""What a person may ask of a saga, and what comes of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagas.decision.answers import Accepted, Decision, Declined, StepChange
from sagas.decision.order import after, current, end, remaining, with_change
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import may_have_passed_pivot, turn_back
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
    failure = {"step": None, "type": "Cancelled", "message": reason}
    cancelled = replace(saga, failure=failure)
    running = current(saga, ACTION)
    values: dict[str, Any] = {"failure": failure, "deadline_at": None}
    if running is not None and saga.step(running).held:
        # To undo what may still be running would race with it: its end, or its loss, comes first.
        return Decision(Accepted(), values=values, note="cancel requested")
    turned = turn_back(cancelled, timing)
    return replace(turned, answer=Accepted(), values={**turned.values, **values}, note="cancelled")


def _too_late(saga: SagaState) -> str | None:
    if saga.status is SagaStatus.COMPLETED:
        return "it is COMPLETED: start a saga that makes up for it"
    if saga.status is SagaStatus.FAILED:
        return "it is parked: retry, skip or resolve it"
    if may_have_passed_pivot(saga):
        return "its pivot has begun, and there is no way back from there"
    return None


def retry(saga: SagaState, *, timing: Timing) -> Decision:
    """Try again what a parked saga is stuck at, with as many attempts as at first."""
    if (stuck := _stuck(saga)) is None:
        return _not_parked(saga)
    operation, steps = stuck
    changes = tuple(_again(saga.step(name), operation, saga) for name in steps if _can(saga, name))
    if not changes:
        what = ", ".join(steps)
        return Decision(
            Declined(f"nothing of {what} can be tried again: skip the step or resolve the saga")
        )
    return _unparked(saga, operation, changes, timing, note="retried")


def skip(saga: SagaState, step: str, *, timing: Timing) -> Decision:
    """Take a step that a parked saga is stuck at as dealt with by a person."""
    if (stuck := _stuck(saga)) is None:
        return _not_parked(saga)
    operation, steps = stuck
    if step not in steps:
        return Decision(Declined(f"it is stuck at {', '.join(steps)}, not at {step}"))
    attempt = saga.step(step).attempts(operation)
    settled = {"claim": None, "retry_at": None, "doubtful": False}
    change = StepChange(step, operation, attempt, StepStatus.SKIPPED, settled)
    left = [name for name in steps if name != step]
    if left:  # stuck at something else as well
        reason = f"What these steps did, or may have done, is not undone: {', '.join(left)}."
        parked = {**(saga.parked or {}), "reason": reason, "steps": left}
        values = {"parked": parked}
        return Decision(
            Accepted(), raise_epoch=True, values=values, steps=(change,), note="skipped"
        )
    return _unparked(saga, operation, (change,), timing, note="skipped")


def resolve(saga: SagaState, *, completed: bool | None, resolved: Mapping[str, Any]) -> Decision:
    """End a parked saga by a person's word; *completed* is None for the way it was going."""
    if (stuck := _stuck(saga)) is None:
        return _not_parked(saga)
    forward = stuck[0] is ACTION if completed is None else completed
    status = SagaStatus.COMPLETED if forward else SagaStatus.COMPENSATED
    values = {"resolved": dict(resolved), "parked": None}
    return Decision(Accepted(), path=(status,), raise_epoch=True, values=values, note="resolved")


def _stuck(saga: SagaState) -> tuple[Operation, tuple[str, ...]] | None:
    if saga.status is not SagaStatus.FAILED or not saga.parked:
        return None
    return Operation(saga.parked["operation"]), tuple(saga.parked["steps"])


def _not_parked(saga: SagaState) -> Decision:
    return Decision(Declined(f"it is {saga.status}, not parked (FAILED)"))


def _can(saga: SagaState, name: str) -> bool:
    operation = Operation((saga.parked or {})["operation"])
    return operation is ACTION or saga.step(name).status is StepStatus.COMPENSATION_FAILED


def _again(step: StepState, operation: Operation, saga: SagaState) -> StepChange:
    values: dict[str, Any] = {"claim": None, "retry_at": saga.now}
    if operation is COMPENSATION:
        values["compensation_attempt"] = 0
        return StepChange(step.name, operation, 0, StepStatus.COMPENSATING, values)
    values |= {"attempt": 0, "probe_attempt": 0}
    status = StepStatus.UNKNOWN if step.status is StepStatus.UNKNOWN else StepStatus.PENDING
    return StepChange(step.name, operation, 0, status, values)


def _unparked(
    saga: SagaState,
    operation: Operation,
    changes: tuple[StepChange, ...],
    timing: Timing,
    *,
    note: str,
) -> Decision:
    changed = saga
    for change in changes:
        changed = with_change(changed, change)
    moving = SagaStatus.IN_PROGRESS if operation is ACTION else SagaStatus.COMPENSATING
    values: dict[str, Any] = {"parked": None, "ended_at": None}
    if operation is ACTION:
        values["failure"] = None  # the history keeps it
    dispatch = remaining(changed, operation)
    path: tuple[SagaStatus, ...] = (moving,)
    if dispatch is None:
        status, ending = end(changed, operation)
        path, values = (moving, status), values | ending
    else:
        values |= {"due_at": after(saga, timing.lease_s), "looks": 0, "sent_at": saga.now}
    return Decision(
        Accepted(),
        path,
        raise_epoch=True,
        values=values,
        steps=changes,
        note=note,
        dispatch=dispatch,
    )
