"""A saga cannot go on: it turns back, or it is parked where there is no way back."""

from sagas.decision.decision import Decision
from sagas.decision.ending import end, ended
from sagas.decision.progress import after, current, remaining
from sagas.decision.state import SagaState, StepState, Timing
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["may_have_passed_pivot", "turn_back"]


def turn_back(saga: SagaState, timing: Timing) -> Decision:
    """Decide how a saga leaves the way forward; no execution holds one of its steps."""
    if (step := _no_way_back(saga)) is not None:
        return _park(saga, step)
    dispatch = remaining(saga, Operation.COMPENSATION)
    if dispatch is None:
        status, values = end(saga, Operation.COMPENSATION)
        path = (SagaStatus.COMPENSATING, status)
        return Decision(path=path, raise_epoch=True, values=values)
    return Decision(
        path=(SagaStatus.COMPENSATING,),
        raise_epoch=True,
        values={
            "deadline_at": None,
            "due_at": after(saga, timing.lease_s),
            "checks": 0,
            "sent_at": saga.now,
        },
        dispatch=dispatch,
    )


def may_have_passed_pivot(saga: SagaState) -> bool:
    """Tell whether the pivot is running, has happened, or may have happened."""
    begun = (StepStatus.RUNNING, StepStatus.UNKNOWN)
    if saga.plan.pivot is None:
        return False
    pivot = saga.step(saga.plan.pivot.name)
    return _is_passed(pivot) or pivot.status in begun


def _is_passed(pivot: StepState) -> bool:
    # A pivot that its condition skipped was never attempted; one that an operator skipped was.
    skipped_by_hand = pivot.status is StepStatus.SKIPPED and pivot.attempt > 0
    return pivot.status is StepStatus.SUCCESS or skipped_by_hand


def _no_way_back(saga: SagaState) -> str | None:
    """Return the step at which a saga must stop because its pivot has happened, or may have."""
    planned = saga.plan.pivot
    if planned is None:
        return None
    pivot = saga.step(planned.name)
    # A pivot that can be undone, and may have happened, is undone with the rest.
    in_doubt = pivot.status is StepStatus.UNKNOWN and planned.compensation is None
    return current(saga, Operation.ACTION) if _is_passed(pivot) or in_doubt else None


def _park(saga: SagaState, step: str) -> Decision:
    in_doubt = saga.step(step).status is StepStatus.UNKNOWN
    what = "may have happened or not" if in_doubt else "failed for good"
    reason = f"{step} {what}, and there is no way back any more."
    return Decision(
        path=(SagaStatus.FAILED,),
        raise_epoch=True,
        values={
            **ended(saga),
            "parked": {"reason": reason, "steps": [step], "operation": Operation.ACTION},
        },
    )
