"""The benchmark runs from end to end, and its processes end with it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.servers import real_postgres_url, real_redis_url
from tests.support.waiting import HANG_S, wait_until

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("server"),  # its Redis is that of other tests too
    pytest.mark.skipif(
        not (real_postgres_url() and real_redis_url()),
        reason="SAGAS_TEST_POSTGRES_URL and SAGAS_TEST_REDIS_URL name no servers",
    ),
]

COMMAND = [sys.executable, "-m", "benchmarks.speed", "--quick", "--only", "ours,chain"]


def test_ours_is_measured_beside_the_chain(tmp_path: Path) -> None:
    command = [*COMMAND, "--sagas", "20", "--out", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (figures,) = json.loads((tmp_path / "plain.json").read_text())["rounds"]
    assert figures.keys() == {"ours", "chain"}
    assert figures["ours"]["commits"] >= 5  # the start, and at least one for each step
    assert figures["ours"]["statements"] >= 5  # as many: each commits by itself
    assert "commits" not in figures["chain"]
    assert all(len(line) <= 100 for line in run.stdout.splitlines())


def test_an_interruption_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [*COMMAND, "--sagas", "100000", "--out", str(tmp_path)]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    driver = psutil.Process(run.pid)
    wait_until(lambda: len(driver.children(recursive=True)) >= 4, what="a client and a worker")
    started = driver.children(recursive=True)
    os.kill(run.pid, signal.SIGINT)
    output, _ = run.communicate()
    assert run.returncode == 128 + signal.SIGINT, output
    _, alive = psutil.wait_procs(started, timeout=HANG_S)
    assert not alive
