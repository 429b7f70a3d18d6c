"""No attempt is undone while its own worker knows that it runs; greenlets are interrupted."""

from contextlib import ExitStack

import pytest

from sagas.events import Event
from sagas.states import SagaStatus
from tests.support.pools import Pools, needs
from tests.support.waiting import HANG_S, wait_until

KEY = "job-1"

#: Longer than the timeout, the time to clean up, and the lease of the tests together.
TAKES_S = 12.0


def events(pools: Pools) -> list[str]:
    return [entry.event for entry in pools.history(KEY)]


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_an_attempt_that_overruns_is_left_alone_by_every_worker_and_its_result_counts(
    pool: str, pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": TAKES_S}})
    with ExitStack() as stack:
        one = stack.enter_context(pools.worker(pool))
        wait_until(lambda: pools.effects(KEY) == ["began"], timeout_s=HANG_S)
        other = stack.enter_context(pools.worker("prefork", name="other"))
        wait_until(lambda: other.ready, timeout_s=HANG_S, what="another worker sweeps")
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
        log = one.log.read_text()
    assert pools.effects(KEY) == ["began", "happened"]
    assert pools.saga(KEY).status is SagaStatus.COMPLETED
    assert Event.TAKEN_OVER not in events(pools)
    assert log.count("cannot interrupt a step: timeout= of pools.overrun has no effect here") == 1


@pytest.mark.parametrize("pool", [needs("gevent"), needs("eventlet"), "prefork"])
def test_a_step_that_can_be_interrupted_ends_at_its_timeout(pool: str, pools: Pools) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 600}})
    with pools.worker(pool) as worker:
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
        log = worker.log.read_text()
    assert pools.effects(KEY) == ["began", "undone"]
    assert pools.error_type(KEY) == "SoftTimeLimitExceeded"
    assert pools.saga(KEY).status is SagaStatus.COMPENSATED
    assert "cannot interrupt a step" not in log
