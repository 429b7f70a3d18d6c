"""One saga on a terminal: its input, its steps with outputs and errors, its history."""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from sagas.cli.errors import describe, describe_failure
from sagas.cli.rows import WIDE, Row, print_rows
from sagas.cli.terminal import console, status, took, words
from sagas.decision import AttemptError
from sagas.hidden import Hidden
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.states import ENDED, StepStatus

__all__ = ["print_saga"]

#: What an operator can do about a parked saga.
_NEXT = (
    "next: repair the cause, then `sagas retry` it; or settle by hand what is left, then "
    "`sagas skip` the step or `sagas resolve` the saga"
)

#: How many characters of a payload are shown.
_PAYLOAD = 4_000

#: An error that a participant raised on purpose: where it did says nothing.
_REFUSALS = ("StepFailed", "RetryAfter")


def print_saga(
    saga: SagaView,
    given: str | None,
    steps: Sequence[StepView],
    history: Sequence[HistoryEntry],
) -> None:
    """Print a saga with its steps and its history; *given* is its input as JSON without secrets."""
    out = console()
    out.print(Text.assemble((f"{saga.name} {saga.key}", "bold"), "  ", status(saga.status)))
    began = f"{saga.started_at:%Y-%m-%d %H:%M:%S} UTC"
    duration = took(saga.started_at, saga.ended_at)
    out.print(f"{saga.id}  epoch {saga.epoch}  started {began}  {duration}".rstrip())
    _print_reasons(out, saga)
    _print_payload(out, "input", given, indent=0)
    out.print()
    for step in steps:
        _print_step(out, step, live=saga.status not in ENDED)
    out.print()
    _print_history(out, history)


def _print_reasons(out: Console, saga: SagaView) -> None:
    if saga.superseded:
        out.print(f"superseded: a later saga has the key (this one was number {saga.superseded})")
    if saga.failure:
        out.print(words(f"because of: {describe_failure(saga)}"))
    if saga.parked:
        out.print(words(f"parked: {saga.parked['reason']}"), style="red")
        out.print(_NEXT)
    if saga.blocked:
        queue = saga.blocked.get("queue")
        named = f" Its queue is {queue}." if queue else ""
        out.print(words(f"blocked: {saga.blocked['reason']}{named}"), style="yellow")
    if saga.resolved:
        out.print(words(f"resolved by {saga.resolved['by']}: {saga.resolved['note']}"))


def _print_payload(out: Console, name: str, payload: str | None, *, indent: int) -> None:
    if payload is None:
        return
    text = Hidden(json.dumps(json.loads(payload), indent=2, ensure_ascii=False))
    if len(text) > _PAYLOAD:
        text = Hidden(f"{text[:_PAYLOAD]}\n(cut here; --json shows all of it)")
    out.print(Padding(words(f"{name}: {text}"), (0, 0, 0, indent)))


def _print_step(out: Console, step: StepView, *, live: bool) -> None:
    line = Text.assemble(words(step.name, style="bold"), "  ", status(step.status))
    out.print(line.append(f"  {'; '.join(_runs(step))}"))
    if step.hostname or step.task_id:
        held = f"worker: {step.hostname or 'unknown'}, task: {step.task_id or 'unknown'}"
        out.print(Padding(words(held), (0, 0, 0, 4)))
    _print_payload(out, "output", step.output, indent=4)
    error = _last_error(step)
    again = f"; tried again at {step.retry_at:%Y-%m-%d %H:%M:%S} UTC" if step.retry_at else ""
    if error or (again and live):
        said = f"error: {describe({**error}) if error else 'none'}{again if live else ''}"
        out.print(Padding(words(said, style="red"), (0, 0, 0, 4)))
    if error and error["type"] not in _REFUSALS and (trace := error.get("traceback")):
        out.print(Padding(words(trace.rstrip(), style="dim"), (0, 0, 0, 6)))


def _runs(step: StepView) -> Iterator[str]:
    """Say how often a step ran in each direction, and how long the last attempt took."""
    runs = (
        (
            "attempts",
            step.attempt,
            step.losses,
            step.postponements,
            step.started_at,
            step.ended_at,
        ),
        (
            "undo attempts",
            step.compensation_attempt,
            step.compensation_losses,
            step.compensation_postponements,
            step.compensation_started_at,
            step.compensation_ended_at,
        ),
    )
    for name, count, lost, postponed, began, ended in runs:
        if count:
            duration = took(began, ended)
            apart = ((lost, "lost"), (postponed, "postponed"))
            said = ", ".join(f"{number} {what}" for number, what in apart if number)
            line = f"{name}: {count} ({said})" if said else f"{name}: {count}"
            yield line + (f", the last took {duration}" if duration else "")


def _last_error(step: StepView) -> AttemptError | None:
    """Return the error a step ended with; errors of a compensation that succeeded are left out."""
    undone = step.status == StepStatus.COMPENSATED
    return step.error if undone else step.compensation_error or step.error


def _print_history(out: Console, history: Sequence[HistoryEntry]) -> None:
    days = {entry.at.date() for entry in history}
    form = "%H:%M:%S.%f" if len(days) == 1 else "%Y-%m-%d %H:%M:%S.%f"
    rows = [_history_row(entry, form, wide=out.width >= WIDE) for entry in history]
    print_rows(out, rows, whole=("at (UTC)", "epoch", "what", "attempt"))


def _history_row(entry: HistoryEntry, form: str, *, wide: bool) -> Row:
    operation = "" if entry.operation in (None, "action") else f" ({entry.operation})"
    cells = {
        "at (UTC)": Text(f"{entry.at:{form}}"[:-3]),
        "epoch": Text(str(entry.epoch)),
        "what": status(entry.event),
        "step": words(f"{entry.step or ''}{operation}"),
        "attempt": Text(str(entry.attempt or "")),
    }
    if not wide:
        return Row(cells, ": ".join(filter(None, (entry.actor, _why(entry)))))
    return Row({**cells, "by": words(entry.actor), "why": words(_why(entry))})


def _why(entry: HistoryEntry) -> str:
    """Return the operator's reason, the reason for parking, or the error."""
    detail = entry.detail or {}
    failure = detail if "message" in detail else None
    return str(
        detail.get("why") or detail.get("reason") or describe(detail.get("error") or failure)
    )
