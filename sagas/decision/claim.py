"""A message arrives: may it run its step?"""

from sagas.decision.columns import Holder, SagaColumns, StepColumns, attempt_started
from sagas.decision.decision import Decision, Done, Dropped, Granted, StepChange
from sagas.decision.progress import (
    after,
    backs_off,
    call_of,
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
    holder: Holder,
    timing: Timing,
    task: str | None = None,
) -> Decision:
    """Decide whether a message may run its step.

    *token* identifies this execution, and *holder* says who it is; *task* is the Celery task that
    received the message, None for the step's own.
    """
    step = saga.step(name)
    if step.claim == token and step.held:  # the reply to our own commit was lost
        runs = operation is COMPENSATION or step.probe_attempt == 0
        return Decision(_granted(saga, step, operation, step.attempts(operation), runs=runs))
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
    """Return why the task must not run this step: it is the task of another one."""
    call = saga.plan[name].call(operation)
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
    """Tell whether a timer of the record runs: an early message would burn an attempt."""
    delayed = saga.status is SagaStatus.STARTED and saga.epoch == 1
    return delayed or backs_off(saga, step, operation)


def _grant(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    token: str,
    holder: Holder,
    timing: Timing,
) -> Decision:
    runs = operation is COMPENSATION or has_attempts_left(saga, step)
    attempt = step.attempts(operation) + runs
    timeout_s = call_of(saga, step.name, operation).timeout_s
    expires_at = after(saga, timeout_s + timing.grace_s + timing.lease_s) if timeout_s else None
    columns: StepColumns = {
        **holder,
        **attempt_started(operation, attempt, saga.now),
        "claim": token,
        "retry_at": None,
        "expires_at": expires_at,
    }
    if not runs:
        columns["probe_attempt"] = step.probe_attempt + 1
    change = StepChange(
        step.name,
        operation,
        attempt,
        StepStatus.RUNNING if operation is ACTION else StepStatus.COMPENSATING,
        columns,
        {**holder},
    )
    values: SagaColumns = {
        "due_at": expires_at or after(saga, timing.max_check_interval_s),
        "checks": 0,
        "sent_at": None,
    }
    if saga.plan[step.name].pivot and operation is ACTION:
        values["deadline_at"] = None  # from here on it may be too late to turn back
    return Decision(
        _granted(saga, step, operation, attempt, runs=runs),
        path=(SagaStatus.IN_PROGRESS,) if saga.status is SagaStatus.STARTED else (),
        values=values,
        steps=(change,),
    )


def _granted(
    saga: SagaState, step: StepState, operation: Operation, attempt: int, *, runs: bool
) -> Granted:
    """Grant the attempt; the probe runs first where an earlier attempt may have happened."""
    ask = step.doubtful and saga.plan[step.name].probe
    insist = operation is ACTION or not ask or _may_ask_again(saga, step, attempt)
    return Granted(attempt, ask=ask, run=runs, insist=insist)


def _may_ask_again(saga: SagaState, step: StepState, attempt: int) -> bool:
    """Tell whether a later attempt of the undo may still wait for what the probe says.

    The probe has as many attempts as the action, before the undo and at it together. After them,
    and at the undo's own last attempt, what may have happened is undone without its answer. What
    was lost with a worker, or postponed, is not counted.
    """
    attempt -= step.compensation_losses + step.compensation_postponements
    asked = step.probe_attempt + attempt
    at_most = call_of(saga, step.name, ACTION).retry.max_attempts
    return asked < at_most and attempt < call_of(saga, step.name, COMPENSATION).retry.max_attempts
