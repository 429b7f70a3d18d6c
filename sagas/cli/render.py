"""Printing sagas on a terminal, and as JSON."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.record.stats import Stats
from sagas.states import ENDED, SagaStatus, StepStatus

__all__ = ["counted", "print_json", "print_list", "print_saga", "print_stats", "printable"]

#: Each status has a sign as well as a colour, so that neither alone carries the meaning.
_LOOK = {
    "STARTED": ("○", "bright_black"),
    "IN_PROGRESS": ("▶", "blue"),
    "RUNNING": ("▶", "blue"),
    "COMPLETED": ("✔", "green"),
    "SUCCESS": ("✔", "green"),
    "COMPENSATING": ("◀", "yellow"),
    "COMPENSATED": ("↩", "magenta"),
    "PENDING": ("○", "bright_black"),
    "SKIPPED": ("-", "bright_black"),
    "UNKNOWN": ("?", "yellow"),
    "FAILED": ("✘", "red"),
    "COMPENSATION_FAILED": ("✘", "red"),
}


def print_json(value: Any) -> None:
    """Print JSON with ISO 8601 timestamps."""
    print(json.dumps(_plain(value), indent=2, default=str))  # noqa: T201 - this is the output


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def print_list(sagas: Sequence[SagaView], *, limit: int) -> None:
    """Print a table of sagas."""
    console = _console()
    if not sagas:
        console.print("No sagas match.")
        return
    table = _table("id", "saga", "key", "status", "started (UTC)", "took", "why")
    for saga in sagas:
        stuck = saga.parked or saga.blocked
        why = stuck["reason"] if stuck else _failure(saga)
        table.add_row(
            str(saga.id),
            _text(saga.name),
            _text(saga.key),
            _status(saga.status),
            f"{saga.started_at:%Y-%m-%d %H:%M:%S}",
            _took(saga.started_at, saga.ended_at),
            _text(why),
        )
    console.print(table)
    if len(sagas) == limit:
        console.print(f"The newest {limit}; more with --limit.", style="bright_black")


def print_saga(saga: SagaView, steps: Sequence[StepView], history: Sequence[HistoryEntry]) -> None:
    """Print one saga with its steps and its history."""
    console = _console()
    console.print(
        Text.assemble((f"{saga.name} ", "bold"), (saga.key, "bold"), "  ", _status(saga.status))
    )
    took = _took(saga.started_at, saga.ended_at)
    console.print(
        f"{saga.id}  epoch {saga.epoch}  started {saga.started_at:%Y-%m-%d %H:%M:%S} UTC  {took}"
    )
    if saga.failure:
        console.print(_text(f"because of: {_failure(saga)}"))
    if saga.parked:
        console.print(_text(f"parked: {saga.parked['reason']}"), style="red")
        console.print(_NEXT)
    if saga.blocked:
        console.print(_text(f"blocked: {saga.blocked['reason']}{_queue(saga)}"), style="yellow")
    if saga.resolved:
        console.print(_text(f"resolved by {saga.resolved['by']}: {saga.resolved['note']}"))
    console.print(_steps(steps, live=saga.status not in ENDED))
    console.print(_history(history))


def print_stats(stats: Stats) -> None:
    """Print the figures of a record."""
    console = _console()
    table = _table("saga", *SagaStatus)
    for name, counts in stats.counts.items():
        table.add_row(_text(name), *(str(counts.get(status, "")) for status in SagaStatus))
    console.print(table)
    console.print(f"{counted(stats.workers, 'worker')}, {counted(stats.overdue, 'saga')} overdue")
    if stats.parked:
        console.print(
            f"{stats.parked} parked, need a person: sagas list --status failed",
            style="red",
        )
    if stats.blocked:
        console.print(
            f"{stats.blocked} blocked, need a deploy or a repair: sagas list --blocked",
            style="yellow",
        )
    for queue, number in sorted(stats.blocked_queues.items()):
        console.print(
            f"queue {printable(queue)}: no worker runs the messages of {counted(number, 'saga')}",
            style="yellow",
        )
    if stats.p50_s is not None and stats.p95_s is not None:
        console.print(
            f"{stats.ended_last_hour} ended within the last hour: "
            f"half within {stats.p50_s:.2f} s, 95 % within {stats.p95_s:.2f} s"
        )


def _steps(steps: Sequence[StepView], *, live: bool) -> Table:
    table = _table("step", "status", "attempts", "took", "undo", "undo took", "worker", "error")
    for step in steps:
        table.add_row(
            _text(step.name),
            _status(step.status),
            _attempts(step.attempt, step.losses),
            _took(step.started_at, step.ended_at),
            _attempts(step.compensation_attempt, step.compensation_losses),
            _took(step.compensation_started_at, step.compensation_ended_at),
            _text(step.hostname or ""),
            _text(_last_error(step) + (_again(step) if live else "")),
        )
    return table


def _attempts(number: int, lost: int) -> str:
    return f"{number} ({lost} lost)" if lost else str(number or "")


def _last_error(step: StepView) -> str:
    """Return the error a step ended with; errors of a compensation that succeeded are left out."""
    undone = step.status == StepStatus.COMPENSATED
    return _error(step.error if undone else step.compensation_error or step.error)


def _again(step: StepView) -> str:
    return f"; tried again at {step.retry_at:%Y-%m-%d %H:%M:%S} UTC" if step.retry_at else ""


def _history(history: Sequence[HistoryEntry]) -> Table:
    table = _table("at (UTC)", "epoch", "what", "step", "attempt", "by", "why")
    days = {entry.at.date() for entry in history}
    form = "%H:%M:%S.%f" if len(days) == 1 else "%Y-%m-%d %H:%M:%S.%f"
    for entry in history:
        operation = "" if entry.operation in (None, "action") else f" ({entry.operation})"
        table.add_row(
            f"{entry.at:{form}}"[:-3],
            str(entry.epoch),
            _status(entry.event),
            _text(f"{entry.step or ''}{operation}"),
            str(entry.attempt or ""),
            _text(entry.actor),
            _text(_why(entry)),
        )
    return table


def _why(entry: HistoryEntry) -> str:
    """Return the operator's reason, the reason for parking, or the error."""
    detail = entry.detail or {}
    failure = detail if "message" in detail else None
    return detail.get("why") or detail.get("reason") or _error(detail.get("error") or failure)


#: What an operator can do about a parked saga.
_NEXT = (
    "next: repair the cause, then `sagas retry` it; or settle by hand what is left, then "
    "`sagas skip` the step or `sagas resolve` the saga"
)

#: Columns that people copy or compare never wrap; the others do on a narrow terminal.
_WHOLE = ("id", "key", "status", "what", "at (UTC)")

#: Wide enough for every column, where the output is not a terminal.
_PIPE_WIDTH = 200


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    return table


def _text(value: str) -> Text:
    """Return text from outside, without markup and without terminal control characters."""
    return Text(printable(value))


def printable(text: str) -> str:
    """Return a text without the characters that control a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _status(status: str) -> Text:
    sign, style = _LOOK.get(status, ("·", ""))
    return Text(f"{sign} {status}", style=style)


def _failure(saga: SagaView) -> str:
    if not saga.failure:
        return ""
    step = saga.failure.get("step")  # None where a person or the deadline turned it back
    return f"{step}: {_error(saga.failure)}" if step else _error(saga.failure)


def _queue(saga: SagaView) -> str:
    queue = saga.blocked.get("queue") if saga.blocked else None
    return f" Its queue is {queue}." if queue else ""


def _error(error: Any) -> str:
    if not error:
        return ""
    return f"{error.get('code') or error.get('type')}: {error.get('message')}"


def _took(began: datetime | None, ended: datetime | None) -> str:
    if began is None or ended is None:
        return ""
    took = ended - began
    if took < timedelta(minutes=2):
        return f"{took.total_seconds():.2f} s"
    return str(timedelta(seconds=round(took.total_seconds())))  # as 0:02:17


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 saga", "2 sagas"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
