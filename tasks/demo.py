"""``python -m tasks.demo``: real orders on real workers, one of which is killed half-way.

At the end it shows what became of the orders, and verifies that nothing was lost, doubled or left
behind. The exit code is 0 only if every order ended as the data say and every check holds.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import select

from celeryconfig import database_url
from sagas import SagaHandle, SagaStatus, StepStatus, count_by_status
from sagas.dev import embedded_broker
from sagas.testing import violations
from tasks import app, notification
from tasks.conservation import effects, order_ids, verify
from tasks.models import Order
from tasks.order_saga import order_saga
from tasks.sample import ORDERS, expected_end
from tasks.seed import prepare
from tasks.shop import place_order
from tasks.workers import Workers

#: A limit for hangs: no machine is so slow that no order ends for as long.
PATIENCE_S = 300
ENDED = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)
COLUMNS = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))

console = Console()


class Disproved(Exception):
    """An order did not end as the data say, or a check does not hold."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one order ended, and the refusal that it met, or what else went wrong for good."""

    status: str
    reason: str | None
    recovered: bool


def main() -> int:
    """Run the demonstration, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tasks.demo", description=__doc__)
    parser.add_argument("--broker-url", help="use this Redis instead of a private one")
    parser.add_argument("--orders", type=int, help="place only this many of the sample orders")
    arguments = parser.parse_args()
    # SIGTERM unwinds like Ctrl-C, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        demonstrate(arguments.broker_url, arguments.orders)
    except Disproved as reason:
        console.print(f"[bold red]{reason}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def demonstrate(broker_url: str | None, count: int | None) -> None:
    """Open a shop, place the sample orders, kill a worker, and verify everything.

    Raises:
        Disproved: something is wrong.
    """
    sample = json.loads(ORDERS.read_text("utf-8"))[:count]
    orders = [Order.model_validate(order) for order in sample]
    with _directory() as directory, embedded_broker(broker_url) as url:
        _move_to(directory, url)
        prepare()
        began = time.monotonic()
        with Workers("one", "two", logs=directory) as workers:
            handles = _place_and_watch(orders, workers)
        endings = {order_id: _ending(handle) for order_id, handle in handles.items()}
        console.print(summary(endings, seconds=time.monotonic() - began))
        account_for(endings)
        check_sagas()


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory; keep it only after an error that should be looked into."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-demo-"))
    try:
        yield directory
    except Exception:
        console.print(f"The databases and the workers' logs are in {directory}")
        raise
    except BaseException:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)


def _move_to(directory: Path, broker_url: str) -> None:
    """Point this process, and the workers that it starts, to their broker and databases."""
    os.environ.pop("TASKS_DATABASE_URL", None)
    os.environ.update(TASKS_BROKER_URL=broker_url, TASKS_DATA_DIR=str(directory))
    app.conf.update(broker_url=broker_url, saga_database_url=database_url("order"))


def _place_and_watch(orders: list[Order], workers: Workers) -> dict[str, SagaHandle]:
    with Progress(*COLUMNS, console=console) as progress:
        watch = _Watch(progress, workers, len(orders))
        handles = {}
        for number, order in enumerate(orders):
            handles[order.order_id] = place_order(order)
            if number % 20 == 0:
                watch.look()
        while not watch.look():
            if watch.idle_s > PATIENCE_S:
                raise Disproved(f"For {PATIENCE_S} seconds no order has ended.")
            time.sleep(0.2)
    return handles


class _Watch:
    """Shows the progress of the orders, and kills a worker when half of them have ended."""

    def __init__(self, progress: Progress, workers: Workers, total: int) -> None:
        self._progress = progress
        self._workers = workers
        self._total = total
        self._bar = progress.add_task("waiting for the workers", total=total)
        self._killed = False
        self._ended = 0
        self._moved_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how many seconds no order has been seen to end."""
        return time.monotonic() - self._moved_at

    def look(self) -> bool:
        """Show the counts, supervise the workers; tell whether every order has ended."""
        counts = count_by_status()
        ended = sum(counts.get(status, 0) for status in ENDED)
        if ended != self._ended:
            self._ended, self._moved_at = ended, time.monotonic()
        text = " · ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        self._progress.update(self._bar, completed=ended, description=text)
        if not self._killed and ended >= self._total / 2:
            self._killed = True
            self._workers.kill("one")
            self._progress.print(
                "Half of the orders have ended: SIGKILL to worker one and its children."
            )
        self._workers.revive()
        return ended == self._total


def _ending(handle: SagaHandle) -> Ending:
    view = handle.describe()
    # What turned the saga back; or what went wrong in a step that it could do without. Refused
    # after an attempt that was cut off, such a step is UNKNOWN: that attempt may have done it.
    failed = (
        step.error
        for step in handle.steps()
        if step.status == StepStatus.FAILED
        or (step.status == StepStatus.UNKNOWN and step.attempt > 1)
    )
    met = view.failure or next(failed, None)
    # Only a refusal has a code. The kill alone leads to no other end: it costs a step one attempt,
    # and the next one runs on a worker that lives.
    reason = (met.get("code") or met["type"]) if met else None
    recovered = any(entry.actor.startswith("sweep ") for entry in handle.history())
    return Ending(view.status, reason, recovered)


def summary(endings: Mapping[str, Ending], *, seconds: float) -> Table:
    """Return a table of what became of the orders."""
    table = Table(
        "orders", "status", "reason", title=f"{len(endings)} orders in {seconds:.1f} seconds"
    )
    table.columns[0].justify = "right"
    counts = Counter((ending.status, ending.reason or "") for ending in endings.values())
    for (status, reason), count in sorted(counts.items()):
        table.add_row(str(count), status, reason)
    failed = sum(ending.status == SagaStatus.FAILED for ending in endings.values())
    recovered = sum(ending.recovered for ending in endings.values())
    table.add_section()
    if not failed:
        table.add_row("0", SagaStatus.FAILED)
    table.add_row(str(recovered), "of them recovered", "the sweep took over from the dead worker")
    return table


def account_for(endings: Mapping[str, Ending]) -> None:
    """Verify the shop's books and the orders' ends; print the totals.

    Raises:
        Disproved: something is wrong.
    """
    report = verify({order_id: ending.status for order_id, ending in endings.items()})
    table = Table("", "at the start", "now", title=f"{report.entries} ledger entries")
    for total in report.totals:
        table.add_row(total.what, str(total.before), str(total.now))
    console.print(table)
    _refuse([*report.violations, *_surprises(endings)])
    console.print(
        "[bold green]Stock, money and points are conserved; each order left what it should."
    )


def check_sagas() -> None:
    """Compare the record of the sagas with what the services did, by the rules for every saga.

    Raises:
        Disproved: a saga breaks a rule.
    """
    found = violations(app, effects(), keys={order_saga.name: order_ids()}, parked=())
    _refuse([str(violation) for violation in found])
    console.print(
        "[bold green]Every effect happened once and in order; sagas that turned back are undone."
    )


def _refuse(found: Sequence[str]) -> None:
    for text in found:
        console.print(f"[red]{text}")
    if found:
        raise Disproved(f"{len(found)} things are wrong.")


def _surprises(endings: Mapping[str, Ending]) -> Iterator[str]:
    mailed = {row.order_id for row in notification.database.read(select(notification.outbox))}
    for order_id, ending in endings.items():
        found, expected = (str(ending.status), ending.reason), expected_end(order_id)
        if found != expected:
            yield f"{order_id} ended as {found}, not as {expected}"
        elif (order_id in mailed) != (expected == (SagaStatus.COMPLETED, None)):
            told = "was told of it" if order_id in mailed else "was not told of it"
            yield f"{order_id} ended as {found}, but its customer {told}"


if __name__ == "__main__":
    sys.exit(main())
