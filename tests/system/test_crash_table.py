"""Each row of the crash table, forced: processes kill themselves between two commits."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from itertools import count

import pytest

from sagas.faults import POINTS
from sagas.states import SagaStatus
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import FENCED, Worker
from tests.system.crashes import (
    BY_MAIN,
    BY_POOL,
    CANCELLED,
    GROUP,
    OPERATED,
    PROCESS,
    STARTED,
    TWICE,
    Death,
    Row,
)
from tests.system.world import World

Job = tuple[object, ...]

COMPLETES: dict[str, object] = {}

#: How often the whole matrix is run: ``make crashes`` sets 20.
ROUNDS = range(int(os.environ.get("SAGAS_CRASH_ROUNDS", "1")))


def test_every_fault_point_has_a_row() -> None:
    rows = [*BY_POOL, *BY_MAIN, *STARTED.values(), *OPERATED.values()]
    assert sorted({row.point for row in rows}) == sorted(POINTS)


@pytest.mark.parametrize("_round", ROUNDS)
def test_every_trip_ends_correctly_whichever_child_dies_at_whichever_point(
    world: World, _round: int
) -> None:
    workers = [world.worker(name, nursery=True) for name in ("one", "two")]
    force(world, [Death(row, PROCESS) for row in BY_POOL])
    assert births(workers) == 2, "children alone were to die"


@pytest.mark.parametrize("_round", ROUNDS)
def test_every_trip_ends_correctly_whichever_worker_dies_at_whichever_point(
    world: World, _round: int
) -> None:
    workers = [world.worker(name, nursery=True) for name in ("one", "two")]
    deaths = [Death(row, GROUP) for row in [*BY_POOL, *BY_MAIN]]
    force(world, [*deaths, *(Death(row, PROCESS) for row in BY_MAIN)])
    assert births(workers) > len(deaths) / 2, "few workers died"


@pytest.mark.parametrize("_round", ROUNDS)
def test_every_trip_ends_correctly_when_the_worker_that_takes_over_dies_as_well(
    world: World, _round: int
) -> None:
    workers = [world.worker(name, nursery=True) for name in ("one", "two")]
    force(world, TWICE)
    assert births(workers) > len(TWICE) / 2, "few workers died"


@pytest.mark.parametrize("_round", ROUNDS)
def test_every_trip_ends_correctly_when_its_application_or_operator_dies(
    world: World, _round: int
) -> None:
    world.worker("one")
    trips = {**start_and_die(world), **operate_and_die(world)}
    settle(world)
    assert not [key for key in trips if world.disarm(key)], "these did not die"
    assert ends(world) == {key: row.ends for key, row in trips.items()}


def force(world: World, deaths: Sequence[Death]) -> None:
    """Cause every death, each in a separate trip, and check how all the trips end.

    A worker that dies takes other trips' messages and attempts with it, so a trip may never reach
    its point. Its row is then started again, among fewer deaths.
    """
    trips: dict[str, Row] = {}
    until = time.monotonic() + HANG_S
    for again in count():
        keyed = {f"{n:02}-{again}-{death.row.name}": death for n, death in enumerate(deaths)}
        for key, death in keyed.items():
            world.arm(death.row.point, key, death.row.step, victim=death.victim)
            if death.then:
                world.arm(death.then[0], key, victim=death.then[1])
        trips |= {key: death.row for key, death in keyed.items()}
        start(world, keyed)
        settle(world)
        deaths = [death for key, death in keyed.items() if world.disarm(key)]
        if not deaths:
            break
        assert time.monotonic() < until, f"these faults do not fire: {deaths}"
    assert ends(world) == {key: row.ends for key, row in trips.items()}


def births(workers: Sequence[Worker]) -> int:
    """Return how often these workers have started in total."""
    return sum(worker.births for worker in workers)


def start(world: World, deaths: Mapping[str, Death]) -> None:
    """Start trips, and leave to the sweep those whose fault is in the sweep."""
    alike: dict[tuple[str, float], dict[str, object]] = {}
    for key, death in deaths.items():
        delay_s = 0.1 if death.row.point.startswith("sweep.") else 0.0
        alike.setdefault((death.row.saga, delay_s), {})[key] = death.row.given
    jobs = [("start", saga, given, delay_s) for (saga, delay_s), given in alike.items()]
    assert set(world.do(*jobs)) == {0}


def start_and_die(world: World) -> dict[str, Row]:
    """Start trips from processes that die, then start them again, which finds the same sagas."""
    trips = {f"{row.point}-{how}": row for how, row in STARTED.items()}
    arm(world, trips)
    jobs: list[Job] = [
        (how.split()[0], "trip", {key: {}}) for how, key in zip(STARTED, trips, strict=True)
    ]
    commit_and_die: Job = ("commit_and_die", "trip", {"committed": {}})
    assert set(world.do(*jobs, commit_and_die)) == {-signal.SIGKILL}
    assert set(world.do(*jobs)) == {0}
    return {**trips, "committed": Row("start.committed")}


def operate_and_die(world: World) -> dict[str, Row]:
    """Kill operators' processes during their commands, and a child after a cancelled step."""
    opens, gate = world.directory / "opens", world.directory / "gate"
    trips = {f"{row.point}-{word}": row for word, row in OPERATED.items()}
    cancel, retry, skip = trips
    files = {retry: {"breaks_until_file": str(opens)}, "cancelled": {"wait_for_file": str(gate)}}
    trips["cancelled"] = CANCELLED
    arm(world, trips)
    started = [
        ("start", row.saga, {key: {**row.given, **files.get(key, {})}})
        for key, row in trips.items()
    ]
    assert set(world.do(*started)) == {0}
    wait_until(lambda: world.steps(cancel)["hotel"].status == "UNKNOWN")
    wait_until(lambda: world.steps("cancelled")["hotel"].status == "RUNNING")
    wait_until(lambda: world.saga(retry).status is SagaStatus.FAILED)
    wait_until(lambda: world.saga(skip).status is SagaStatus.FAILED)
    opens.touch()
    commands: list[Job] = [("cancel", "patient", cancel), ("retry", "tour", retry)]
    assert set(world.do(*commands, ("skip", "trek", skip, "insurance"))) == {-signal.SIGKILL}
    assert world.do(("cancel", "trip", "cancelled")) == [0]
    gate.touch()
    return trips


def arm(world: World, trips: Mapping[str, Row]) -> None:
    for key, row in trips.items():
        world.arm(row.point, key, row.step)


def settle(world: World) -> None:
    """Wait until every trip has ended and every alert is delivered, and check the trips."""
    world.wait_until_ended()
    wait_until(lambda: not world.undelivered(), what="alerts are delivered")


def ends(world: World) -> dict[str, SagaStatus]:
    """Return how every trip ended."""
    return {saga.key: saga.status for saga in world.sagas()}


def test_all_sagas_complete_after_a_broker_has_lost_everything(world: World) -> None:
    world.start(**{f"trip-{n}": COMPLETES for n in range(20)})
    world.broker.lose_everything()
    world.worker("one")
    world.wait_until_ended()


def test_a_worker_that_wakes_after_its_lease_changes_nothing(world: World) -> None:
    gate = world.directory / "gate"
    zombie = world.worker("zombie")
    world.start(rome={"wait_for_file": str(gate)})
    wait_until(lambda: len(world.effects()) > 1, what="the hotel is booked")
    zombie.signal_all(signal.SIGSTOP)
    gate.touch()
    world.worker("other")
    try:
        world.wait_until_ended()
        ended, steps = world.saga("rome"), world.steps("rome")
    finally:
        zombie.signal_all(signal.SIGCONT)
    wait_until(lambda: FENCED in zombie.log.read_text(), what="the zombie is fenced")
    assert (world.saga("rome"), world.steps("rome")) == (ended, steps)
    world.wait_until_ended()


def test_a_lost_child_is_noticed_even_if_its_errback_is_lost_too(world: World) -> None:
    worker = world.worker("one")
    gate = world.directory / "gate"
    world.start(rome={"wait_for_file": str(gate)})
    wait_until(lambda: len(world.effects()) > 1, what="the hotel is booked")
    for child in worker.children:
        child.kill()
    gate.touch()
    wait_until(lambda: "WorkerLostError" in worker.log.read_text(), what="Celery has seen it")
    world.broker.lose_everything()
    world.wait_until_ended()
    assert world.saga("rome").status is SagaStatus.COMPLETED
