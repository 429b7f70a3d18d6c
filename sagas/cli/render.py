"""Figures and findings on a terminal."""

from collections.abc import Sequence

from rich.table import Table

from sagas.cli.findings import Finding
from sagas.cli.terminal import console, counted, mark, printable, table, words
from sagas.record.stats import Stats
from sagas.states import SagaStatus

__all__ = [
    "print_findings",
    "print_stats",
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
