"""How a saga ends, and what is left behind when it cannot be undone."""

from collections.abc import Sequence

from sagas.decision.columns import Parked, SagaColumns
from sagas.decision.state import SagaState
from sagas.plan import PlannedStep
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["end", "ended", "left_undone"]


def end(saga: SagaState, operation: Operation) -> tuple[SagaStatus, SagaColumns]:
    """Return the final status of a saga whose steps are all settled, and its columns."""
    if operation is Operation.ACTION:
        return SagaStatus.COMPLETED, ended(saga)
    left = [planned.name for planned in saga.plan if _is_left_behind(saga, planned)]
    if not left:
        return SagaStatus.COMPENSATED, ended(saga)
    return SagaStatus.FAILED, {**ended(saga), "parked": left_undone(left)}


def ended(saga: SagaState) -> SagaColumns:
    """Return the columns of every saga that ends or is parked: no timer runs any longer."""
    return {"due_at": None, "sent_at": None, "deadline_at": None, "ended_at": saga.now}


def left_undone(steps: Sequence[str]) -> Parked:
    """Return why a saga is parked whose compensations could not undo these steps."""
    reason = f"What these steps did, or may have done, is not undone: {', '.join(steps)}."
    return {"reason": reason, "steps": list(steps), "operation": Operation.COMPENSATION}


def _is_left_behind(saga: SagaState, planned: PlannedStep) -> bool:
    step = saga.step(planned.name)
    if step.status is StepStatus.COMPENSATION_FAILED:
        return True
    # It happened or may have, nothing can undo it, and nobody declared that it does not matter.
    harmless = planned.compensation is not None or planned.best_effort or planned.read_only
    return step.status in (StepStatus.SUCCESS, StepStatus.UNKNOWN) and not harmless
