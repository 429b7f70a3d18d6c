"""Tests of an application start and stop workers in their own process, one after the other."""

import json
import os
import subprocess
import sys

from tests.field.conftest import Pools


def test_workers_of_one_app_come_and_go_in_one_process_each_with_its_own_duties(
    pools: Pools,
) -> None:
    command = [sys.executable, "-m", "tests.field.workers_of_one_process"]
    environment = {**os.environ, **pools.env}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "only be started once" not in done.stderr
    # Both of two workers at a time may have run the steps, or one of them.
    assert json.loads(done.stdout.splitlines()[-1])["holders"] in range(6, 9)
