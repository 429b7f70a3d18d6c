"""The demonstration, as people run it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import cycle, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete

from sagas import SagaStatus, StepStatus
from tasks import demo, notification, sample
from tests.support.waiting import HANG_S, wait_until
from tests.tasks.runs import run

ROOT = Path(demo.__file__).parent.parent
PROC = Path("/proc")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the demonstration, all of whose files are below *tmp_path*."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "120"} | env,
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
    wait_until(lambda: list(tmp_path.glob("*/two.log")), what="workers")
    process.send_signal(sent)
    assert process.wait(timeout=HANG_S) == code
    wait_until(lambda: not left_behind(tmp_path), what="silence")
    if sent is not signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


ORDERS = 48

#: Where the process of an attempt may die: one that succeeds, one that is refused, one that undoes.
DONE = ("action.claimed", "action.entered", "action.returned", "action.recorded")
REFUSED = ("action.claimed", "action.returned", "action.refused")
UNDONE = tuple(f"compensation.{at}" for at in ("claimed", "entered", "returned", "recorded"))

#: The steps of every order, and the step that refuses, by its reason.
STEPS = (
    *("order.create", "inventory.reserve", "payment.charge"),
    *("shipping.create", "points.award", "notification.send"),
)
REFUSES = {
    "OUT_OF_STOCK": "inventory.reserve",
    "PAYMENT_DECLINED": "payment.charge",
    "LIMIT_EXCEEDED": "payment.charge",
    "INSUFFICIENT_BALANCE": "payment.charge",
    "NOT_ENOUGH_POINTS": "points.deduct",
    "UNDELIVERABLE_ADDRESS": "shipping.create",
}


def deaths() -> Iterator[str]:
    """Name a fault for each order: one of its steps, and a point that it is sure to reach there."""
    succeeding = iter(product(STEPS, DONE))
    unmailed = iter(REFUSED)
    turning = cycle([*((None, point) for point in REFUSED), *(("order.create", p) for p in UNDONE)])
    for order in list(sample.orders())[:ORDERS]:
        reason = sample.expected_end(order.order_id)[1]
        if reason == sample.MAIL_DOWN:
            step, point = "notification.send", next(unmailed, None)
        elif reason is None:
            step, point = next(succeeding, ("", None))
        else:
            undone, point = next(turning)
            step = undone or REFUSES[reason]
        if point:
            yield f"{point}@{order.order_id}@{step}"


@pytest.mark.slow
def test_it_ends_well_whichever_attempt_a_process_dies_in(
    started: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    faults = tmp_path_factory.mktemp("faults")
    names = list(deaths())
    assert {f"{point}@notification.send" for point in {*DONE, *REFUSED}} <= {
        "@".join(name.split("@")[::2]) for name in names
    }
    for name in names:
        (faults / name).write_text("process")
    process = started("--orders", str(ORDERS), SAGAS_FAULTS=str(faults))
    output, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, output
    # The worker that the demonstration kills has two processes, which die at no point of these.
    assert len(list(faults.iterdir())) <= 2


def step(status: StepStatus, attempt: int, **error: str) -> SimpleNamespace:
    return SimpleNamespace(status=status, attempt=attempt, error=error)


@pytest.mark.parametrize(
    ("notified", "reason"),
    [
        (step(StepStatus.SUCCESS, 2), None),
        (
            step(StepStatus.FAILED, 1, type="StepFailed", code="MAIL_SERVER_DOWN"),
            "MAIL_SERVER_DOWN",
        ),
        (
            step(StepStatus.UNKNOWN, 2, type="StepFailed", code="MAIL_SERVER_DOWN"),
            "MAIL_SERVER_DOWN",
        ),
        # A first attempt that was refused leaves no doubt, so this must not pass for the same.
        (step(StepStatus.UNKNOWN, 1, type="StepFailed", code="MAIL_SERVER_DOWN"), None),
        (step(StepStatus.UNKNOWN, 3, type="WorkerLost"), "WorkerLost"),
    ],
)
def test_an_order_has_met_what_its_notification_gave_up_over(
    notified: SimpleNamespace, reason: str | None
) -> None:
    view = SimpleNamespace(status=SagaStatus.COMPLETED, failure=None)
    handle: Any = SimpleNamespace(describe=lambda: view, steps=lambda: [notified], history=list)
    assert demo._ending(handle).reason == reason  # noqa: SLF001 - what it tells is the demo's own


@pytest.mark.usefixtures("shop")
def test_an_order_that_ends_otherwise_than_the_data_say_is_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ending = demo.Ending("COMPENSATED", "OUT_OF_STOCK", recovered=False)
    with pytest.raises(demo.Disproved, match="2 things"):
        demo.account_for({"ORD-0001": ending})
    assert "ORD-0001 ended as ('COMPENSATED', 'OUT_OF_STOCK')" in capsys.readouterr().out


@pytest.mark.usefixtures("shop")
def test_an_order_whose_customer_was_not_told_is_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = next(sample.orders())
    ending = demo.Ending(*run(order), recovered=False)
    demo.account_for({order.order_id: ending})
    with notification.database.begin() as session:
        session.execute(delete(notification.outbox))
        session.execute(delete(notification.ledger.table))
    with pytest.raises(demo.Disproved, match="1 things"):
        demo.account_for({order.order_id: ending})
    assert "but its customer was not told of it" in capsys.readouterr().out
