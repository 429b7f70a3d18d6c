"""An application's tests start and stop workers in their own process, one after the other."""

import json
import os
import subprocess
import sys

from tests.support.pools import Pools


def run(pools: Pools, how: str) -> int:
    """Run workers in a separate process; return how many of them have held steps."""
    command = [sys.executable, "-m", "tests.field.workers_of_one_process", how]
    environment = {**os.environ, **pools.env}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "only be started once" not in done.stderr
    return int(json.loads(done.stdout.splitlines()[-1])["holders"])


def test_workers_that_come_and_go_in_one_process_each_have_their_own_duties(pools: Pools) -> None:
    assert run(pools, "in turn") == 4


def test_two_simultaneous_workers_in_one_process_each_have_their_own_duties(pools: Pools) -> None:
    # In memory: on other transports all workers of one process share Celery's one event loop.
    pools.env["POOLS_BROKER_URL"] = "memory://"
    assert run(pools, "together") in range(4, 9)  # one of the two may have run all steps
