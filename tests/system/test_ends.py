"""How sagas end when nobody is killed."""

from sagas.states import SagaStatus, StepStatus
from tests.system.world import World


def test_sagas_end_as_their_steps_do(world: World) -> None:
    world.worker("one")
    world.start(
        completes={},
        refused={"refuse": "hotel"},
        breaks={"breaks": "hotel"},
        parked={"refuse": "car", "cannot_undo": "hotel"},
    )
    world.wait_until_ended()
    assert world.saga("completes").status is SagaStatus.COMPLETED

    assert world.saga("refused").status is SagaStatus.COMPENSATED
    failure = world.saga("refused").failure
    assert failure is not None
    assert (failure["step"], failure["code"]) == ("hotel", "SOLD_OUT")
    assert world.steps("refused")["hotel"].status is StepStatus.FAILED

    # The step may have happened, so it is undone as well; the barrier knows that it did.
    assert world.saga("breaks").status is SagaStatus.COMPENSATED
    assert world.steps("breaks")["hotel"].status is StepStatus.COMPENSATED
    assert world.steps("breaks")["hotel"].attempt == 10

    # One undo fails for good; the others still run, and the saga says what is left.
    parked = world.saga("parked")
    assert parked.status is SagaStatus.FAILED
    assert parked.parked is not None
    assert parked.parked["steps"] == ["hotel"]
    statuses = {name: step.status for name, step in world.steps("parked").items()}
    assert statuses == {
        "flight": StepStatus.COMPENSATED,
        "hotel": StepStatus.COMPENSATION_FAILED,
        "car": StepStatus.FAILED,
    }
