"""A message arrives: may it run its step?"""

from collections.abc import Mapping
from typing import Any

from sagas.decision.answers import Decision, Done, Dropped, Granted, StepChange
from sagas.decision.order import after, call_of, column, current, gave_up, settled
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
) -> Decision:
    """Decide what a message for one step may do.

    *token* names this execution; *holder* are the columns that say who it is.
    """
    step = saga.step(name)
    if step.claim == token and step.held:  # the reply to our own commit was lost
        return Decision(Granted(step.attempts(operation)))
    if reason := _void(saga, name, operation, epoch):
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


def _not_now(saga: SagaState, step: StepState, operation: Operation) -> str | None:
    if step.held:
        return "it is running elsewhere"
    if operation is ACTION and gave_up(step):
        return "it has failed, and the saga is about to turn back"
    if current(saga, operation) != step.name:
        return "it is not its turn"
    return None


def _grant(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    token: str,
    holder: Mapping[str, Any],
    timing: Timing,
) -> Decision:
    attempt = step.attempts(operation) + 1
    timeout_s = call_of(saga, step.name, operation).timeout_s
    expires_at = after(saga, timeout_s + timing.lease_s) if timeout_s else None
    change = StepChange(
        step.name,
        operation,
        attempt,
        StepStatus.RUNNING if operation is ACTION else StepStatus.COMPENSATING,
        {
            **holder,
            column(operation, "attempt"): attempt,
            "claim": token,
            "retry_at": None,
            "expires_at": expires_at,
            column(operation, "started_at"): saga.now,
            column(operation, "ended_at"): None,
        },
        holder,
    )
    return Decision(
        Granted(attempt),
        path=(SagaStatus.IN_PROGRESS,) if saga.status is SagaStatus.STARTED else (),
        values={"due_at": expires_at or after(saga, timing.look_s), "looks": 0, "sent_at": None},
        steps=(change,),
    )
