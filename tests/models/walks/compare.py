"""Compares a saga with its model after every event."""

from dataclasses import replace

from sagas.decision import SagaState
from sagas.states import ENDED, FORWARD, SagaStatus, StepStatus
from tests.models.walks.model import Known, Model
from tests.models.walks.world import World
from tests.support.states import ACTION, COMPENSATION, NOW

__all__ = ["check", "check_change"]

STATUS = {
    Known.NONE: StepStatus.PENDING,
    Known.SKIPPED: StepStatus.SKIPPED,
    Known.MAYBE: StepStatus.UNKNOWN,
    Known.HAPPENED: StepStatus.SUCCESS,
    Known.NOT: StepStatus.FAILED,
    Known.UNDONE: StepStatus.COMPENSATED,
    Known.LEFT: StepStatus.COMPENSATION_FAILED,
    Known.BY_HAND: StepStatus.SKIPPED,
}


def check_change(before: SagaState, saga: SagaState, model: Model, *, person: bool) -> None:
    """Check the change that one event made; *person*: a person asked for it and was obeyed."""
    assert saga.epoch >= before.epoch, "the epoch went back"
    if before.status in ENDED and not person:
        assert replace(saga, now=NOW) == replace(before, now=NOW), "it had ended"
    if before.status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED):
        assert saga.status is before.status, "it had ended for good"
    if before.status not in FORWARD and saga.status in FORWARD:
        assert person, "a saga went forward again"
        assert not model.back, "a saga went forward again after it had turned back"
    if (before.status in FORWARD) is not (saga.status in FORWARD):
        assert saga.epoch > before.epoch or saga.status is SagaStatus.COMPLETED, (
            "a change of direction without a new epoch"
        )


def check(world: World, model: Model) -> None:
    """Check that the saga matches the model and has lost track of nothing."""
    saga = world.saga
    held = {name: step.claim for name, step in saga.steps.items() if step.held}
    holder = model.holder
    assert held == ({holder.step: holder.token} if holder else {})
    for planned in saga.plan:
        assert saga.step(planned.name).status is _status(model, planned.name), planned.name
    seen = {name for name in model.known if model.may_be(name)}
    answered = {name for name, known in model.known.items() if known in (Known.LEFT, Known.BY_HAND)}
    assert world.effects <= seen | answered | set(held), "an effect without an owner"
    assert bool(saga.failure) >= (saga.status is SagaStatus.COMPENSATING)
    _check_way(saga, model)


def _status(model: Model, name: str) -> StepStatus:
    if model.holder is not None and model.holder.step == name:
        forward = model.holder.operation is ACTION
        return StepStatus.RUNNING if forward else StepStatus.COMPENSATING
    if name in model.undoing and model.may_be(name):
        return StepStatus.COMPENSATING
    return STATUS[model.known[name]]


def _check_way(saga: SagaState, model: Model) -> None:
    if saga.status is SagaStatus.FAILED:
        _check_parked(saga, model)
    elif saga.status is SagaStatus.COMPENSATING:
        assert model.to_undo(), "the saga has not ended although nothing is left to undo"
        assert not model.no_way_back() or model.undoing, (
            "a saga turned back past the point of no return"
        )
    elif saga.status is SagaStatus.COMPLETED and not model.resolved:
        assert model.to_do() is None
        assert not model.turning
    elif saga.status is SagaStatus.COMPENSATED and not model.resolved:
        assert (model.to_undo(), model.left_behind()) == (None, [])
        assert model.turning


def _check_parked(saga: SagaState, model: Model) -> None:
    assert saga.parked is not None
    assert saga.parked["operation"] is (COMPENSATION if model.back else ACTION)
    assert saga.parked["steps"] == model.stuck_at()
    assert model.turning, "parked without a reason"
    assert not model.back or model.to_undo() is None, "parked before everything was tried"
