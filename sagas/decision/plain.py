"""The plain case: what a writer may take a saga for without having read it.

Most sagas go forward step by step, and nothing happens to them. What such a saga is at any moment
follows from its plan and one word, its *turn*: the step whose message is on the way, or the claim
that holds that step. A writer that knows both decides on the state that follows from them, and
writes where the record has the same turn. Anything out of the ordinary leaves the saga without a
turn, and its next writer must lock and read it first.
"""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from sagas.decision.progress import current
from sagas.decision.state import SagaState, StepState
from sagas.plan import Plan
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["SOME_MOMENT", "turn_of", "waiting"]

#: Stands for the moment of a decision that is not known yet.
SOME_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)

_NOBODY = UUID(int=0)


def turn_of(saga: SagaState) -> str | None:
    """Return the turn of a saga, None where more than its plan is needed to know its state."""
    name = current(saga, Operation.ACTION)
    if name is None or _is_troubled(saga) or not _is_untouched_after(saga, name):
        return None
    step = saga.step(name)
    if step == StepState(name) and saga.sent_at is not None:
        return name if saga.status is _status_at(saga.plan, name) else None
    if saga.status is SagaStatus.IN_PROGRESS and step.held and _is_first_attempt(step):
        return step.claim
    return None


def _is_troubled(saga: SagaState) -> bool:
    trouble = (saga.failure, saga.parked, saga.blocked, saga.deadline_at)
    counted = (saga.resends, saga.copies, saga.failed_sweeps)
    return any(each is not None for each in trouble) or any(counted)


def _is_untouched_after(saga: SagaState, name: str) -> bool:
    """Tell whether no later step has a row, as one does that a condition skipped."""
    positions = saga.plan.positions
    return all(
        step.status is StepStatus.PENDING or positions.get(step.name, 0) <= positions[name]
        for step in saga.steps.values()
    )


def _is_first_attempt(step: StepState) -> bool:
    return (step.attempt, step.probe_attempt, step.losses, step.doubtful) == (1, 0, 0, False)


def waiting(saga_id: UUID, plan: Plan, step: str, epoch: int) -> SagaState | None:
    """Return a saga that waits for the message of *step*, None where the plan has no such step."""
    if step not in plan.positions:
        return None
    return replace(_waiting(plan, step), id=saga_id, epoch=epoch)


@lru_cache(maxsize=4096)
def _waiting(plan: Plan, name: str) -> SagaState:
    before = plan.steps[: plan.positions[name]]
    return SagaState(
        id=_NOBODY,
        name=plan.name,
        key="",
        status=_status_at(plan, name),
        epoch=1,
        plan=plan,
        steps={step.name: StepState(step.name, StepStatus.SUCCESS, attempt=1) for step in before},
        now=SOME_MOMENT,
        sent_at=SOME_MOMENT,
        turn=name,
    )


def _status_at(plan: Plan, name: str) -> SagaStatus:
    return SagaStatus.STARTED if plan.steps[0].name == name else SagaStatus.IN_PROGRESS
