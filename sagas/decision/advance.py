"""Nobody is known to be working on a saga: what does it need?"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sagas.decision.blocked import Evidence, not_lost, sent_again
from sagas.decision.columns import AttemptError, SagaColumns, SagaFailure
from sagas.decision.conclude import settle
from sagas.decision.decision import Decision
from sagas.decision.ending import end
from sagas.decision.patience import copied, is_over
from sagas.decision.progress import after, backs_off, current, gave_up, overdue, remaining
from sagas.decision.results import Errored
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import turn_back
from sagas.events import Event
from sagas.states import ENDED, Operation, SagaStatus

__all__ = ["advance"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

_OVERDUE: SagaFailure = {
    "step": None,
    "type": "DeadlineExceeded",
    "message": "The saga did not end within its deadline.",
}


def advance(
    saga: SagaState,
    *,
    alive: Callable[[StepState], bool],
    lost: bool,
    timing: Timing,
    chance: float,
    evidence: Evidence = Evidence(),  # noqa: B008 - frozen
) -> Decision:
    """Decide what a saga needs that nobody is known to be working on.

    The sweep and the turn-back task ask. *alive* tells whether the execution that holds a step
    still exists; *lost* whether the message that the saga waits for is known to be lost; *evidence*
    what else is known about that message.
    """
    if saga.status in ENDED:
        return Decision(values={"due_at": None})
    if overdue(saga) and not saga.failure:
        overdue_saga = replace(saga, failure=_OVERDUE, deadline_at=None)
        decision = advance(overdue_saga, alive=alive, lost=lost, timing=timing, chance=chance)
        values: SagaColumns = {**decision.values, "failure": _OVERDUE, "deadline_at": None}
        return replace(decision, values=values, note=Event.DEADLINE_PASSED)
    operation = COMPENSATION if saga.status is SagaStatus.COMPENSATING else ACTION
    name = current(saga, operation)
    step = None if name is None else saga.step(name)
    if step is not None and step.held:
        return _held(saga, step, operation, alive, timing, chance)
    if operation is ACTION and (saga.failure or (step is not None and gave_up(step))):
        return turn_back(saga, timing)
    if step is not None:
        return _awaiting(saga, step, operation, timing, lost=lost, evidence=evidence)
    status, ending = end(saga, operation)
    return Decision(path=(status,), values=ending)


def _held(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    alive: Callable[[StepState], bool],
    timing: Timing,
    chance: float,
) -> Decision:
    expired = step.expires_at is not None and step.expires_at <= saga.now
    if alive(step) and not expired:
        due_at = step.expires_at or after(saga, timing.max_check_interval_s)
        return Decision(values={"due_at": due_at})
    timed_out = _timed_out(saga, step, timing)
    what = "did not end within its timeout" if timed_out else "was lost with its worker"
    error: AttemptError = {
        "type": "AttemptTimedOut" if timed_out else "WorkerLost",
        "message": f"Attempt {step.attempts(operation)} of the {operation} of {step.name} {what}.",
    }
    errored = Errored(error, lost=not timed_out)
    decision = settle(saga, step, operation, errored, timing, chance)
    # The take-over fences the lost attempt, also where no retry follows.
    return replace(decision, raise_epoch=True, note=Event.TAKEN_OVER)


def _timed_out(saga: SagaState, step: StepState, timing: Timing) -> bool:
    """Tell whether its timeout ended an attempt, rather than the end of its worker.

    A pool kills the process of an attempt that overruns its timeout; the worker goes on.
    """
    if step.expires_at is None or not step.attended:
        return False
    timeout_at = step.expires_at - timedelta(seconds=timing.grace_s + timing.lease_s)
    return timeout_at <= saga.now


def _awaiting(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    timing: Timing,
    *,
    lost: bool,
    evidence: Evidence,
) -> Decision:
    """Nobody holds the step: its message is on the way or lost, or its timer is still running."""
    if backs_off(saga, step, operation):
        return Decision(values={"due_at": step.retry_at})
    # Doubled at each check without progress: a long queue is asked about less and less often.
    patience_s = min(timing.lease_s * 2 ** min(saga.checks + 1, 10), timing.max_check_interval_s)
    values: SagaColumns = {"due_at": after(saga, patience_s), "checks": saga.checks + 1}
    decision = Decision(
        raise_epoch=True,
        values={**values, "sent_at": saga.now},
        note=Event.SENT,
        dispatch=remaining(saga, operation),
    )
    if saga.sent_at is not None and not lost:
        waiting = Decision(values=values)
        if is_over(saga, evidence, timing):
            waiting = copied(saga, decision)
        return not_lost(saga, step.name, operation, evidence, waiting=waiting, again=decision)
    return decision if saga.sent_at is None else sent_again(saga, step.name, operation, decision)
