"""The record stores the results: sagas never wait for the application's result backend."""

from contextlib import ExitStack

import pytest

from sagas.states import SagaStatus
from tests.support.pools import Pools
from tests.support.servers import free_port
from tests.support.waiting import HANG_S, wait_until


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_refused_steps_do_not_wait_for_a_result_backend(pool: str, pools: Pools) -> None:
    pools.env["POOLS_RESULT_BACKEND"] = f"redis://127.0.0.1:{free_port()}/0"
    keys = [f"job-{number}" for number in range(12)]
    with ExitStack() as stack:
        worker = stack.enter_context(pools.worker(pool))
        wait_until(lambda: worker.ready, timeout_s=HANG_S, what="the worker is ready")
        pools.start("ends", **{key: {"how": "refused"} for key in keys})
        pools.wait_until_ended(*keys, timeout_s=HANG_S)
        log = worker.log.read_text()
    assert {pools.saga(key).status for key in keys} == {SagaStatus.COMPENSATED}
    # For 20 seconds per message, Celery tries to reach a result backend, and says so.
    assert "Connection to Redis lost" not in log
