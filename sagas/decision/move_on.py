"""Nobody is known to be moving a saga: what does it need?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sagas.decision.answers import Broke, Decision
from sagas.decision.conclude import concluded
from sagas.decision.order import after, backs_off, current, end, gave_up, overdue, remaining
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import turn_back
from sagas.decision.waiting import sent_again
from sagas.states import ENDED, Operation, SagaStatus

__all__ = ["move_on"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

_OVERDUE = {
    "step": None,
    "type": "DeadlineExceeded",
    "message": "The saga did not end within its deadline.",
}


def move_on(
    saga: SagaState,
    *,
    alive: Callable[[StepState], bool],
    lost: bool,
    timing: Timing,
    chance: float,
) -> Decision:
    """Decide what a saga needs that nobody is known to be moving.

    Asked by the sweep and by the turn-back duty. *alive* tells whether the execution that holds a
    step still exists; *lost* whether the message that the saga waits for is known to be lost.
    """
    if saga.status in ENDED:
        return Decision(values={"due_at": None})
    if overdue(saga) and not saga.failure:
        overdue_saga = replace(saga, failure=_OVERDUE, deadline_at=None)
        decision = move_on(overdue_saga, alive=alive, lost=lost, timing=timing, chance=chance)
        values = {**decision.values, "failure": _OVERDUE, "deadline_at": None}
        return replace(decision, values=values, note="deadline passed")
    operation = COMPENSATION if saga.status is SagaStatus.COMPENSATING else ACTION
    name = current(saga, operation)
    step = None if name is None else saga.step(name)
    if step is not None and step.held:
        return _held(saga, step, operation, alive, timing, chance)
    if operation is ACTION and (saga.failure or (step is not None and gave_up(step))):
        return turn_back(saga, timing)
    if step is not None:
        return _awaiting(saga, step, operation, timing, lost=lost)
    status, values = end(saga, operation)
    return Decision(path=(status,), values=values)


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
        return Decision(values={"due_at": step.expires_at or after(saga, timing.look_s)})
    attempt = step.attempts(operation)
    what = "did not end within its timeout" if expired else "was lost with its worker"
    error = {
        "type": "AttemptTimedOut" if expired else "WorkerLost",
        "message": f"Attempt {attempt} of the {operation} of {step.name} {what}.",
    }
    decision = concluded(saga, step, operation, Broke(error), timing, chance)
    # The take-over fences the lost attempt, also where no retry follows.
    return replace(decision, raise_epoch=True, note="taken over")


def _awaiting(
    saga: SagaState, step: StepState, operation: Operation, timing: Timing, *, lost: bool
) -> Decision:
    """Nobody holds the step: its message is on the way, or lost, or its timer is not due yet."""
    if backs_off(saga, step, operation):
        return Decision(values={"due_at": step.retry_at})
    # Doubled at each look without progress: a long queue is asked about ever more rarely.
    patience_s = min(timing.lease_s * 2 ** min(saga.looks + 1, 10), timing.look_s)
    values: dict[str, Any] = {"due_at": after(saga, patience_s), "looks": saga.looks + 1}
    if saga.sent_at is not None and not lost:
        return Decision(values=values)
    decision = Decision(
        raise_epoch=True,
        values={**values, "sent_at": saga.now},
        note="sent",
        dispatch=remaining(saga, operation),
    )
    return decision if saga.sent_at is None else sent_again(saga, step.name, operation, decision)
