"""A step that never yields silences every greenlet of its worker, but not the heartbeat."""

from contextlib import ExitStack

import pytest

from sagas.events import Event
from sagas.states import SagaStatus
from tests.support.pools import Pools, needs
from tests.support.waiting import HANG_S, wait_until

KEY = "job-1"


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads", needs("gevent")])
def test_its_worker_is_not_considered_dead(pool: str, pools: Pools) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(pools.worker(pool, name=name)) for name in ("one", "two")]
        wait_until(lambda: all(worker.ready for worker in workers), timeout_s=HANG_S)
        pools.start("computes", **{KEY: {"takes_s": 4.0}})  # four leases
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
        logs = "".join(worker.log.read_text() for worker in workers)
    assert pools.effects(KEY) == ["began", "happened"]
    assert pools.saga(KEY).status is SagaStatus.COMPLETED
    assert "has expired" not in logs


@pytest.mark.parametrize("pool", [needs("eventlet")])
def test_a_worker_of_eventlet_is_considered_dead_and_the_step_is_repeated(
    pool: str, pools: Pools
) -> None:
    pools.start("computes", **{KEY: {"takes_s": HANG_S}})
    with ExitStack() as stack:
        stack.enter_context(pools.worker(pool))
        wait_until(lambda: pools.effects(KEY) == ["began"], timeout_s=HANG_S)
        stack.enter_context(pools.worker("prefork", name="other"))
        wait_until(lambda: pools.effects(KEY) == ["began", "began"], timeout_s=HANG_S)
        (pools.directory / "go").touch()
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert Event.TAKEN_OVER in [entry.event for entry in pools.history(KEY)]
    assert pools.effects(KEY).count("undone") == 0
    assert pools.saga(KEY).status is SagaStatus.COMPLETED
