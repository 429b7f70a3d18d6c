"""A backlog is not a loss, and a loss is not a backlog."""

import time
from pathlib import Path

import pytest
import redis

from sagas.dev import EmbeddedBroker
from sagas.states import ENDED
from tests.support.brokers import RedisBroker
from tests.support.waiting import wait_until
from tests.system.world import World, world_on

pytestmark = pytest.mark.slow

LEASE_S = 1.5


def test_thousands_of_sagas_waiting_behind_one_slow_worker_are_not_sent_twice(
    redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with world_on(RedisBroker(redis_url), postgres_url, tmp_path) as world:
        world.start_batch("errand", 5_000, takes_s=0.1)
        world.worker("one")
        wait_until(lambda: _ended(world) > 10, what="the worker works")
        # Every saga is looked into, by its age alone, many times while it waits.
        until = time.monotonic() + 8 * LEASE_S
        wait_until(lambda: time.monotonic() > until, what="many leases pass")
        assert _ended(world) < 4_000, "they did not wait"
        sagas = world.sagas()  # before the messages: a saga that ends meanwhile has none any more
        with redis.Redis.from_url(redis_url) as client, client.pipeline() as at_one_moment:
            waiting = sum(at_one_moment.llen("celery").hlen("unacked").execute())
        assert {saga.epoch for saga in sagas} == {1}
        assert waiting <= len([saga for saga in sagas if saga.status not in ENDED])


def test_all_sagas_end_soon_after_a_broker_has_lost_everything(
    redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with world_on(RedisBroker(redis_url), postgres_url, tmp_path) as world:
        world.worker("one")
        world.worker("two")
        world.start_batch("errands", 500)
        wait_until(lambda: _ended(world) > 100, what="many have ended")
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
        world.wait_until_ended()


def test_starts_succeed_while_the_broker_is_down_and_run_once_it_is_back(
    postgres_url: str, tmp_path: Path
) -> None:
    broker = EmbeddedBroker()
    with world_on(RedisBroker(broker.url), postgres_url, tmp_path) as world:
        with broker.running():
            worker = world.worker("one")
            wait_until(lambda: worker.ready, what="the worker is ready")
        world.start(**{f"trip-{n}": {} for n in range(100)})
        assert len(world.sagas()) == 100
        with broker.running():
            world.wait_until_ended()
            worker.terminate()  # while it still has a broker
            worker.stop()


def _ended(world: World) -> int:
    return len([saga for saga in world.sagas() if saga.status in ENDED])
