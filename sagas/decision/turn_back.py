"""There is no use in going on: turn back, or stop where there is no way back."""

from sagas.decision.answers import Decision
from sagas.decision.order import after, current, end, remaining
from sagas.decision.state import SagaState, StepState, Timing
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["may_have_passed_pivot", "turn_back"]


def turn_back(saga: SagaState, timing: Timing) -> Decision:
    """Decide how a saga leaves the way forward; no execution holds a step of it."""
    if (step := _no_way_back(saga)) is not None:
        return _park(saga, step)
    values = {"deadline_at": None}
    dispatch = remaining(saga, Operation.COMPENSATION)
    if dispatch is None:
        status, ending = end(saga, Operation.COMPENSATION)
        path = (SagaStatus.COMPENSATING, status)
        return Decision(path=path, raise_epoch=True, values=values | ending)
    return Decision(
        path=(SagaStatus.COMPENSATING,),
        raise_epoch=True,
        values={
            **values,
            "due_at": after(saga, timing.lease_s),
            "looks": 0,
            "sent_at": saga.now,
        },
        dispatch=dispatch,
    )


def may_have_passed_pivot(saga: SagaState) -> bool:
    """Tell whether the pivot is running, has happened, or may have."""
    begun = (StepStatus.RUNNING, StepStatus.UNKNOWN)
    pivots = [saga.step(planned.name) for planned in saga.plan.pivots]
    return any(_is_passed(pivot) or pivot.status in begun for pivot in pivots)


def _is_passed(pivot: StepState) -> bool:
    # Its condition skipped one that was never attempted; a person takes on one that was.
    skipped_by_hand = pivot.status is StepStatus.SKIPPED and pivot.attempt > 0
    return pivot.status is StepStatus.SUCCESS or skipped_by_hand


def _no_way_back(saga: SagaState) -> str | None:
    """Return the step at which a saga must stop because its pivot has happened, or may have."""
    for planned in saga.plan.pivots:
        pivot = saga.step(planned.name)
        # A pivot that can be undone, and may have happened, is undone with the rest.
        in_doubt = pivot.status is StepStatus.UNKNOWN and planned.compensation is None
        if _is_passed(pivot) or in_doubt:
            return current(saga, Operation.ACTION)
    return None


def _park(saga: SagaState, step: str) -> Decision:
    in_doubt = saga.step(step).status is StepStatus.UNKNOWN
    what = "may have happened or not" if in_doubt else "failed for good"
    reason = f"{step} {what}, and there is no way back any more."
    parked = {"reason": reason, "steps": [step], "operation": Operation.ACTION}
    values = {"due_at": None, "sent_at": None, "deadline_at": None, "ended_at": saga.now}
    return Decision(
        path=(SagaStatus.FAILED,), raise_epoch=True, values={**values, "parked": parked}
    )
