"""Scaling out and rolling over: workers that come and go lose no step and double none."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from sagas.record import tables as t
from sagas.states import SagaStatus, StepStatus
from tests.support.brokers import RedisBroker
from tests.support.waiting import wait_until
from tests.support.workers import Worker
from tests.system.world import World, world_on

pytestmark = pytest.mark.slow

WORKERS = 8
#: So many trips more for every worker that is restarted: more than the other workers can hold, each
#: one that runs and four that are prefetched.
TRIPS = 5 * WORKERS
#: So long that a busy machine makes no worker seem dead: only what they lose would be lost.
LEASE_S = 60


def test_eight_workers_that_are_restarted_one_after_the_other_lose_and_double_nothing(
    redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with world_on(RedisBroker(redis_url), postgres_url, tmp_path) as world:
        world.env.update(TRIP_LEASE_S=str(LEASE_S))
        workers = [world.worker(f"w{n}", "-c", "1", nursery=True) for n in range(WORKERS)]
        wait_until(lambda: all(w.ready for w in workers), what="all are ready")
        for number, worker in enumerate(workers):
            gate = tmp_path / f"gate-{number}"
            _give_work(world, gate, first=number * TRIPS)
            _restart(worker, gate)
        world.wait_until_ended()
        assert {saga.status for saga in world.sagas()} == {SagaStatus.COMPLETED}
        attempts = {step.attempt for key in _keys(world) for step in world.steps(key).values()}
        assert attempts == {1}


def _give_work(world: World, gate: Path, *, first: int) -> None:
    """Let every worker be in the middle of a step, which ends when the gate opens."""
    world.start_batch("trip", TRIPS, first=first, wait_for_file=str(gate))
    wait_until(lambda: _running(world) == WORKERS, what="all are at work")


def _restart(worker: Worker, gate: Path) -> None:
    births = worker.births
    worker.main.terminate()
    gate.touch()
    wait_until(lambda: worker.births > births, what="it has stopped by itself")
    wait_until(lambda: worker.ready, what="it is back")


def _running(world: World) -> int:
    waits = t.step.c.name == "hotel", t.step.c.status == StepStatus.RUNNING
    count = select(func.count()).where(*waits)
    return world.record.read(lambda c: c.scalar(count)) or 0


def _keys(world: World) -> list[str]:
    return [saga.key for saga in world.sagas()]
