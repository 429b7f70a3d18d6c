"""Scaling out and rolling over: workers that come and go lose no step and double none."""

from pathlib import Path

from sagas.states import ENDED, SagaStatus
from tests.support.brokers import RedisBroker
from tests.support.waiting import wait_until
from tests.support.workers import Worker
from tests.system.world import World, world_on

WORKERS = 8
#: So many trips more for every worker that is restarted.
TRIPS = 25


def test_eight_workers_that_are_restarted_one_after_the_other_lose_and_double_nothing(
    redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with world_on(RedisBroker(redis_url), postgres_url, tmp_path) as world:
        workers = [world.worker(f"w{n}", "-c", "1", nursery=True) for n in range(WORKERS)]
        wait_until(lambda: all(w.ready for w in workers), timeout_s=120, what="all are ready")
        for number, worker in enumerate(workers):
            _give_work(world, first=number * TRIPS)
            assert not _ended(world), "there was too little to do for it to be interrupted"
            _restart(worker)
        world.wait_until_ended(timeout_s=120)
        assert {saga.status for saga in world.sagas()} == {SagaStatus.COMPLETED}
        attempts = {step.attempt for key in _keys(world) for step in world.steps(key).values()}
        assert attempts == {1}


def _give_work(world: World, *, first: int) -> None:
    enough = len(world.effects()) + WORKERS
    world.start_batch("trip", TRIPS, first=first, takes_s=0.4)
    wait_until(lambda: len(world.effects()) > enough, timeout_s=30, what="all are at work")


def _restart(worker: Worker) -> None:
    births = worker.births
    worker.main.terminate()
    wait_until(lambda: worker.births > births, timeout_s=30, what="it has stopped by itself")
    wait_until(lambda: worker.ready, timeout_s=60, what="it is back")


def _ended(world: World) -> bool:
    return all(saga.status in ENDED for saga in world.sagas())


def _keys(world: World) -> list[str]:
    return [saga.key for saga in world.sagas()]
