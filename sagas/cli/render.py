"""Printing sagas on a terminal, and as JSON."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sagas.cli.errors import describe, describe_failure
from sagas.cli.findings import Finding
from sagas.cli.terminal import console, counted, mark, printable, status, table, took, words
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.record.stats import Stats
from sagas.states import ENDED, SagaStatus, StepStatus

__all__ = [
    "print_findings",
    "print_saga",
    "print_stats",
]


def print_saga(saga: SagaView, steps: Sequence[StepView], history: Sequence[HistoryEntry]) -> None:
    """Print one saga with its steps and its history."""
    out = console()
    out.print(
        Text.assemble((f"{saga.name} ", "bold"), (saga.key, "bold"), "  ", status(saga.status))
    )
    duration = took(saga.started_at, saga.ended_at)
    began = f"{saga.started_at:%Y-%m-%d %H:%M:%S} UTC"
    out.print(f"{saga.id}  epoch {saga.epoch}  started {began}  {duration}")
    if saga.failure:
        out.print(words(f"because of: {describe_failure(saga)}"))
    if saga.parked:
        out.print(words(f"parked: {saga.parked['reason']}"), style="red")
        out.print(_NEXT)
    if saga.blocked:
        out.print(words(f"blocked: {saga.blocked['reason']}{_queue(saga)}"), style="yellow")
    if saga.resolved:
        out.print(words(f"resolved by {saga.resolved['by']}: {saga.resolved['note']}"))
    out.print(_steps(steps, live=saga.status not in ENDED))
    out.print(_history(history))


def print_stats(stats: Stats) -> None:
    """Print the figures of a record."""
    out = console()
    made = table("saga", *SagaStatus, whole=_WHOLE)
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


def _steps(steps: Sequence[StepView], *, live: bool) -> Table:
    made = table(
        "step", "status", "attempts", "took", "undo", "undo took", "worker", "error", whole=_WHOLE
    )
    for step in steps:
        made.add_row(
            words(step.name),
            status(step.status),
            str(step.attempt or ""),
            took(step.started_at, step.ended_at),
            str(step.compensation_attempt or ""),
            took(step.compensation_started_at, step.compensation_ended_at),
            words(step.hostname or ""),
            words(_last_error(step) + (_again(step) if live else "")),
        )
    return made


def _last_error(step: StepView) -> str:
    """Return the error a step ended with; errors of a compensation that succeeded are left out."""
    undone = step.status == StepStatus.COMPENSATED
    return describe(step.error if undone else step.compensation_error or step.error)


def _again(step: StepView) -> str:
    return f"; tried again at {step.retry_at:%Y-%m-%d %H:%M:%S} UTC" if step.retry_at else ""


def _history(history: Sequence[HistoryEntry]) -> Table:
    made = table("at (UTC)", "epoch", "what", "step", "attempt", "by", "why")
    days = {entry.at.date() for entry in history}
    form = "%H:%M:%S.%f" if len(days) == 1 else "%Y-%m-%d %H:%M:%S.%f"
    for entry in history:
        operation = "" if entry.operation in (None, "action") else f" ({entry.operation})"
        made.add_row(
            f"{entry.at:{form}}"[:-3],
            str(entry.epoch),
            status(entry.event),
            words(f"{entry.step or ''}{operation}"),
            str(entry.attempt or ""),
            words(entry.actor),
            words(_why(entry)),
        )
    return made


def _why(entry: HistoryEntry) -> str:
    """Return the operator's reason, the reason for parking, or the error."""
    detail = entry.detail or {}
    failure = detail if "message" in detail else None
    return detail.get("why") or detail.get("reason") or describe(detail.get("error") or failure)


#: What an operator can do about a parked saga.
_NEXT = (
    "next: repair the cause, then `sagas retry` it; or settle by hand what is left, then "
    "`sagas skip` the step or `sagas resolve` the saga"
)

#: Columns that people copy or compare never wrap; the others do on a narrow terminal.
_WHOLE = ("id", "key", "status", "what", "at (UTC)")


def _queue(saga: SagaView) -> str:
    queue = saga.blocked.get("queue") if saga.blocked else None
    return f" Its queue is {queue}." if queue else ""
