"""The demonstration, as people run it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import demo
from tests.support.waiting import wait_until

ROOT = Path(demo.__file__).parent.parent
PROC = Path("/proc")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the demonstration, all of whose files are below *tmp_path*."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def left_behind(directory: Path) -> list[str]:
    """Return the command lines of the processes that the demonstration started."""
    marker = f"TMPDIR={directory}".encode()
    found = []
    for process in PROC.glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:  # it has just ended, or is not ours
            continue
    return found


def test_it_ends_well(started: Start, tmp_path: Path) -> None:
    process = started("--orders", "48")
    output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    assert "SIGKILL to worker one" in output
    assert "Stock, money and points are conserved" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not PROC.exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_nothing_is_left_running_when_it_is_ended(
    started: Start, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = started()
    wait_until(lambda: list(tmp_path.glob("*/two.log")), timeout_s=60, what="workers")
    process.send_signal(sent)
    assert process.wait(timeout=60) == code
    wait_until(lambda: not left_behind(tmp_path), timeout_s=60, what="silence")
    if sent is not signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shop")
def test_an_order_that_ends_otherwise_than_the_data_say_is_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ending = demo.Ending("COMPENSATED", "OUT_OF_STOCK", recovered=False)
    with pytest.raises(demo.Disproved, match="2 things"):
        demo.account_for({"ORD-0001": ending})
    assert "ORD-0001 ended as ('COMPENSATED', 'OUT_OF_STOCK')" in capsys.readouterr().out
