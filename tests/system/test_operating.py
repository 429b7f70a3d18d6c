"""Cancel, deadline, pivot, probe and the operator's commands, with real workers."""

from pathlib import Path

from sagas.states import SagaStatus, StepStatus
from tests.support.waiting import wait_until
from tests.system.world import World


def test_requests_of_people_and_deadlines_take_effect(world: World) -> None:
    gate = world.directory / "gate"
    world.start(queued={})
    assert world.operate("cancel", "queued", "--reason", "a mistake").endswith(": COMPENSATED\n")
    world.start("patient", backoff={"breaks": "hotel"})
    world.start("short", late={"wait_for_file": str(gate)})
    world.start(running={"wait_for_file": str(gate)})
    world.start("tour", bound={"breaks_until_file": str(world.directory / "open")})
    worker = world.worker("one", "-c", "4")

    # In the middle of a long backoff it takes effect at once.
    wait_until(lambda: _step(world, "backoff", "hotel") is StepStatus.UNKNOWN)
    world.operate("cancel", "backoff", "--reason", "no patience", "--by", "alice")
    wait_until(lambda: world.saga("backoff").status is SagaStatus.COMPENSATED)

    # What is running comes to its end before it is undone.
    wait_until(lambda: _step(world, "running", "hotel") is StepStatus.RUNNING)
    assert world.operate("cancel", "running", "--reason", "…").endswith(": IN_PROGRESS\n")
    wait_until(lambda: world.saga("late").failure is not None)
    assert world.saga("running").status is SagaStatus.IN_PROGRESS
    gate.touch()
    wait_until(lambda: world.saga("running").status is SagaStatus.COMPENSATED)
    assert _step(world, "running", "hotel") is StepStatus.COMPENSATED
    wait_until(lambda: world.saga("late").status is SagaStatus.COMPENSATED)
    assert _step(world, "late", "car") is StepStatus.PENDING
    failure = world.saga("late").failure
    assert failure is not None
    assert failure["type"] == "DeadlineExceeded"

    # Past the pivot there is no way back: it is parked, with one alert, and goes on by a retry.
    wait_until(lambda: world.saga("bound").status is SagaStatus.FAILED)
    wait_until(lambda: "bound" in _alerts(worker.log))
    (world.directory / "open").touch()
    world.operate("retry", "bound", "--note", "the office is open")
    world.wait_until_ended()
    assert world.saga("bound").status is SagaStatus.COMPLETED
    assert len([line for line in _alerts(worker.log).splitlines() if "is parked" in line]) == 1


def test_the_participant_settles_an_outcome_in_doubt(world: World) -> None:
    # The effect exists but its reply does not: the visa step fails after each booking.
    world.start("tour", happened={"breaks": "visa"}, never={"breaks_before": "visa"})
    world.worker("one")
    world.wait_until_ended()
    assert world.saga("happened").status is SagaStatus.COMPLETED
    step = world.steps("happened")["visa"]
    assert (step.attempt, step.output) == (2, '"visa to Rome, as the office says"')
    assert world.saga("never").status is SagaStatus.COMPENSATED
    assert world.steps("never")["visa"].status is StepStatus.FAILED
    assert world.steps("never")["visa"].attempt == 2


def _step(world: World, key: str, name: str) -> StepStatus:
    return world.steps(key)[name].status


def _alerts(log: Path) -> str:
    return "\n".join(line for line in log.read_text().splitlines() if " is parked: " in line)
