"""Each row of the crash table, forced: processes kill themselves between two commits."""

import signal

import pytest

from sagas.states import SagaStatus
from tests.support.waiting import wait_until
from tests.system.conftest import World

COMPLETES: dict[str, object] = {}
TURNS_BACK: dict[str, object] = {"refuse": "car"}

#: Where the process dies, in which trip, and how that trip must end all the same.
KILLS = [
    ("action.claimed", "hotel", COMPLETES, SagaStatus.COMPLETED),
    ("action.returned", "hotel", COMPLETES, SagaStatus.COMPLETED),
    ("action.recorded", "hotel", COMPLETES, SagaStatus.COMPLETED),
    ("action.returned", "car", COMPLETES, SagaStatus.COMPLETED),
    ("action.refused", "car", TURNS_BACK, SagaStatus.COMPENSATED),
    ("turn_back.recorded", None, TURNS_BACK, SagaStatus.COMPENSATED),
    ("compensation.claimed", "hotel", TURNS_BACK, SagaStatus.COMPENSATED),
    ("compensation.returned", "hotel", TURNS_BACK, SagaStatus.COMPENSATED),
    ("compensation.recorded", "hotel", TURNS_BACK, SagaStatus.COMPENSATED),
]


@pytest.mark.parametrize("victim", ["process", "group"])
def test_every_saga_ends_right_whichever_process_dies_at_whichever_point(
    world: World, victim: str
) -> None:
    trips = {f"trip-{n}": kill for n, kill in enumerate(KILLS)}
    for key, (point, step, _, _) in trips.items():
        world.arm(point, key, step, victim=victim)
    world.worker("one")
    world.worker("two")
    world.start(**{key: trip for key, (_, _, trip, _) in trips.items()})
    world.wait_until_ended(timeout_s=60)
    assert not world.armed, "these faults did not fire"
    ends = {key: world.saga(key).status for key in trips}
    assert ends == {key: end for key, (_, _, _, end) in trips.items()}


def test_a_saga_whose_starter_died_before_the_publish_is_sent_by_the_sweep(world: World) -> None:
    world.arm("start.committed", "rome")
    assert world.start_and_see({"rome": COMPLETES}).returncode == -signal.SIGKILL
    world.worker("one")
    world.wait_until_ended()
    assert world.saga("rome").status is SagaStatus.COMPLETED


def test_a_broker_that_lost_everything_costs_nothing(world: World) -> None:
    world.start(**{f"trip-{n}": COMPLETES for n in range(20)})
    world.broker.lose_everything()
    world.worker("one")
    world.wait_until_ended()


def test_a_worker_that_wakes_after_its_lease_changes_nothing(world: World) -> None:
    gate = world.directory / "gate"
    zombie = world.worker("zombie")
    world.start(rome={"wait_for_file": str(gate)})
    wait_until(lambda: len(world.effects()) > 1, timeout_s=30, what="the hotel is booked")
    zombie.signal_all(signal.SIGSTOP)
    gate.touch()
    world.worker("other")
    try:
        world.wait_until_ended()
        ended, steps = world.saga("rome"), world.steps("rome")
    finally:
        zombie.signal_all(signal.SIGCONT)
    fenced = "the saga went on without it"
    wait_until(lambda: fenced in zombie.log.read_text(), timeout_s=30, what="the zombie is fenced")
    assert (world.saga("rome"), world.steps("rome")) == (ended, steps)
    world.wait_until_ended()


def test_a_lost_child_is_missed_though_its_errback_is_lost_too(world: World) -> None:
    worker = world.worker("one")
    gate = world.directory / "gate"
    world.start(rome={"wait_for_file": str(gate)})
    wait_until(lambda: len(world.effects()) > 1, timeout_s=30, what="the hotel is booked")
    for child in worker.children:
        child.kill()
    gate.touch()
    wait_until(lambda: "WorkerLostError" in worker.log.read_text(), what="Celery has seen it")
    world.broker.lose_everything()
    world.wait_until_ended()
    assert world.saga("rome").status is SagaStatus.COMPLETED
