"""A message arrives: may it run its step?"""

from collections.abc import Mapping
from typing import Any

from sagas.decision.answers import Decision, Done, Dropped, Granted, StepChange
from sagas.decision.order import (
    after,
    backs_off,
    call_of,
    column,
    current,
    gave_up,
    has_attempts_left,
    overdue,
    settled,
)
from sagas.decision.state import SagaState, StepState, Timing
from sagas.states import FORWARD, Operation, SagaStatus, StepStatus

__all__ = ["claim"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def claim(
    saga: SagaState,
    name: str,
    operation: Operation,
    *,
    epoch: int,
    token: str,
    holder: Mapping[str, Any],
    timing: Timing,
    task: str | None = None,
) -> Decision:
    """Decide what a message for one step may do.

    *token* names this execution; *holder* are the columns that say who it is; *task* is the Celery
    task that the message came to, None for the step's own.
    """
    step = saga.step(name)
    if step.claim == token and step.held:  # the reply to our own commit was lost
        runs = operation is COMPENSATION or step.probe_attempt == 0
        return Decision(_granted(saga, step, step.attempts(operation), runs=runs))
    if reason := _void(saga, name, operation, epoch) or _astray(saga, name, operation, task):
        return Decision(Dropped(reason))
    if settled(saga, name, operation):
        return Decision(Done())
    if reason := _not_now(saga, step, operation):
        return Decision(Dropped(reason))
    return _grant(saga, step, operation, token, holder, timing)


def _void(saga: SagaState, name: str, operation: Operation, epoch: int) -> str | None:
    if epoch != saga.epoch:
        return f"its epoch {epoch} is over, the saga is at {saga.epoch}"
    if saga.status not in (FORWARD if operation is ACTION else {SagaStatus.COMPENSATING}):
        return f"the saga is {saga.status}"
    if name not in {planned.name for planned in saga.plan}:
        return f"the saga has no step {name!r}"
    return None


def _astray(saga: SagaState, name: str, operation: Operation, task: str | None) -> str | None:
    """Name the reason why a task must not run this step: it would do another one's work."""
    planned = saga.plan[name]
    call = planned.action if operation is ACTION else planned.compensation
    if task is None or (call is not None and call.task == task):
        return None
    return f"{task} is not the task of the {operation} of {name}"


def _not_now(saga: SagaState, step: StepState, operation: Operation) -> str | None:
    if step.held:
        return "it is running elsewhere"
    if operation is ACTION and overdue(saga):
        return "its deadline has passed, and the saga is about to turn back"
    if operation is ACTION and (saga.failure or gave_up(step)):
        return "it has failed, and the saga is about to turn back"
    if current(saga, operation) != step.name:
        return "it is not its turn"
    if saga.sent_at is None and _is_timed(saga, step, operation):
        return "it is not its time"
    return None


def _is_timed(saga: SagaState, step: StepState, operation: Operation) -> bool:
    """Tell whether the record keeps the time of a start or a retry: who is early eats attempts."""
    delayed = saga.status is SagaStatus.STARTED and saga.epoch == 1
    return delayed or backs_off(saga, step, operation)


def _grant(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    token: str,
    holder: Mapping[str, Any],
    timing: Timing,
) -> Decision:
    runs = operation is COMPENSATION or has_attempts_left(saga, step)
    attempt = step.attempts(operation) + runs
    timeout_s = call_of(saga, step.name, operation).timeout_s
    expires_at = after(saga, timeout_s + timing.grace_s + timing.lease_s) if timeout_s else None
    change = StepChange(
        step.name,
        operation,
        attempt,
        StepStatus.RUNNING if operation is ACTION else StepStatus.COMPENSATING,
        {
            **holder,
            column(operation, "attempt"): attempt,
            **({} if runs else {"probe_attempt": step.probe_attempt + 1}),
            "claim": token,
            "retry_at": None,
            "expires_at": expires_at,
            column(operation, "started_at"): saga.now,
            column(operation, "ended_at"): None,
        },
        holder,
    )
    values = {"due_at": expires_at or after(saga, timing.look_s), "looks": 0, "sent_at": None}
    if saga.plan[step.name].pivot and operation is ACTION:
        values["deadline_at"] = None  # from here on it may be too late to turn back
    return Decision(
        _granted(saga, step, attempt, runs=runs),
        path=(SagaStatus.IN_PROGRESS,) if saga.status is SagaStatus.STARTED else (),
        values=values,
        steps=(change,),
    )


def _granted(saga: SagaState, step: StepState, attempt: int, *, runs: bool) -> Granted:
    """Let the probe be asked first where an earlier attempt may have happened."""
    return Granted(attempt, ask=step.doubtful and saga.plan[step.name].probe, run=runs)
