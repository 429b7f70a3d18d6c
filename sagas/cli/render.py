"""Figures and findings on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from sagas.cli.findings import Finding
from sagas.cli.rows import Row, print_rows
from sagas.cli.terminal import age, console, counted, mark, printable, table, words
from sagas.record.stats import Stats
from sagas.record.workers import WorkerView
from sagas.states import SagaStatus

__all__ = [
    "print_findings",
    "print_plans",
    "print_stats",
    "print_workers",
]


def print_stats(stats: Stats) -> None:
    """Print the figures of a record."""
    out = console()
    made = table("saga", *SagaStatus)
    for name, counts in stats.counts.items():
        made.add_row(words(name), *(str(counts.get(each, "")) for each in SagaStatus))
    out.print(made)
    out.print(f"{counted(stats.workers, 'worker')}, {counted(stats.overdue, 'saga')} overdue")
    if stats.parked:
        out.print(
            f"{stats.parked} parked, need a person: sagas list --status failed",
            style="red",
        )
    if stats.blocked:
        out.print(
            f"{stats.blocked} blocked, need a deploy or a repair: sagas list --blocked",
            style="yellow",
        )
    for queue, number in sorted(stats.blocked_queues.items()):
        out.print(
            f"queue {printable(queue)}: no worker runs the messages of {counted(number, 'saga')}",
            style="yellow",
        )
    if stats.p50_s is not None and stats.p95_s is not None:
        out.print(
            f"{stats.ended_last_hour} ended within the last hour: "
            f"half within {stats.p50_s:.2f} s, 95 % within {stats.p95_s:.2f} s"
        )


def print_findings(found: Sequence[tuple[str, Finding]]) -> None:
    """Print what the checks of a set-up found, each with its remedy."""
    out = console()
    made = Table.grid(padding=(0, 1))
    for no_wrap in (True, True, False):
        made.add_column(overflow="fold", no_wrap=no_wrap)
    shown = ""
    for name, finding in found:
        made.add_row(mark(finding.level), "" if name == shown else name, words(finding.text))
        if finding.remedy:
            made.add_row("", "", words(finding.remedy, style="bold"))
        shown = name
    out.print(made)


def print_plans(plans: Sequence[dict[str, Any]]) -> None:
    """Print a row for each saga that is defined or in the record."""
    out = console()
    if not plans:
        out.print("This application defines no saga, and the record has none.")
    print_rows(out, [Row(_plan(plan)) for plan in plans], whole=("running", "parked", "ended"))


def _plan(plan: dict[str, Any]) -> dict[str, Text]:
    steps = ", ".join(plan["steps"]) if plan["defined"] else "(not defined by this application)"
    deadline = "" if plan["deadline_s"] is None else age(plan["deadline_s"])
    counts = {name: Text(str(plan[name] or "")) for name in ("running", "parked", "ended")}
    return {
        "saga": words(plan["name"]),
        **counts,
        "deadline": Text(deadline),
        "steps": words(steps),
    }


def print_workers(workers: Sequence[WorkerView], *, lease_s: float) -> None:
    """Print a row for each worker."""
    out = console()
    if not workers:
        out.print("The record knows no worker. Run: celery -A <your app> worker")
    rows = [Row(_worker(worker, lease_s)) for worker in workers]
    print_rows(out, rows, whole=("alive", "heartbeat", "up", "pid"))


def _worker(worker: WorkerView, lease_s: float) -> dict[str, Text]:
    alive = worker.silent_s <= lease_s
    up_s = (worker.heartbeat_at - worker.started_at).total_seconds()
    return {
        "worker": words(worker.hostname),
        "alive": Text.assemble(mark("ok" if alive else "error"), " yes" if alive else " no"),
        "heartbeat": Text(f"{worker.silent_s:.1f} s ago"),
        "up": Text(age(up_s)),
        "pid": Text(str(worker.pid)),
        "queues": words(", ".join(worker.queues)),
    }
