"""A worker that is told to end, or is killed, while a step runs: in each of Celery's pools."""

import signal
from contextlib import ExitStack

import pytest

from sagas.events import Event
from sagas.states import SagaStatus
from tests.support.pools import POOLS, Pools
from tests.support.waiting import wait_until
from tests.support.workers import Worker

KEY = "job-1"


def events(pools: Pools) -> list[str]:
    return [entry.event for entry in pools.history(KEY)]


def begin(pools: Pools, pool: str, how: str, stack: ExitStack) -> tuple[Worker, Worker]:
    """Let a worker run the step; return it, and another worker, which only sweeps yet."""
    pools.start("ends", **{KEY: {"how": how}})
    one = stack.enter_context(pools.worker(pool))
    wait_until(lambda: pools.effects(KEY) == ["began"], what="the step runs")
    other = stack.enter_context(pools.worker(pool, name="other"))
    wait_until(lambda: other.ready, what="another worker sweeps")
    return one, other


@pytest.mark.parametrize("pool", POOLS)
def test_the_others_take_over_what_a_killed_worker_ran(pool: str, pools: Pools) -> None:
    with ExitStack() as stack:
        one, _ = begin(pools, pool, "hangs at first", stack)
        one.kill()
        pools.wait_until_ended(KEY)
    assert pools.effects(KEY) == ["began", "began"]
    assert Event.TAKEN_OVER in events(pools)
    assert pools.saga(KEY).status is SagaStatus.COMPLETED


@pytest.mark.parametrize("pool", POOLS)
def test_a_warm_shutdown_waits_for_the_step_and_nobody_takes_it_over(
    pool: str, pools: Pools
) -> None:
    with ExitStack() as stack:
        one, _ = begin(pools, pool, "hangs until it may go", stack)
        one.terminate()
        wait_until(lambda: "Warm shutdown" in one.log.read_text(), what="the worker is told")
        pools.pass_time()
        assert pools.effects(KEY) == ["began"]
        assert not one.ended
        (pools.directory / "go").touch()
        wait_until(lambda: one.ended, what="the worker ends")
        assert pools.saga(KEY).status is SagaStatus.COMPLETED
    assert pools.effects(KEY) == ["began"]
    assert Event.TAKEN_OVER not in events(pools)


def test_after_a_cold_shutdown_threads_run_on_and_nobody_takes_their_steps_over(
    pools: Pools,
) -> None:
    with ExitStack() as stack:
        one, _ = begin(pools, "threads", "hangs until it may go", stack)
        one.main.send_signal(signal.SIGQUIT)
        pools.pass_time()
        assert pools.effects(KEY) == ["began"]
        (pools.directory / "go").touch()
        pools.wait_until_ended(KEY)
    assert pools.effects(KEY) == ["began"]
    assert Event.TAKEN_OVER not in events(pools)
    assert pools.saga(KEY).status is SagaStatus.COMPLETED
