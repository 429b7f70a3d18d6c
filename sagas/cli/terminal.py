"""What every page of the command line is made of: tables and texts that fit the terminal."""

import dataclasses
import json
import sys
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "age",
    "console",
    "counted",
    "mark",
    "print_json",
    "printable",
    "status",
    "table",
    "took",
    "words",
]

#: Each status has a sign as well as a colour, so that neither alone carries the meaning. The second
#: sign is for terminals that know only ASCII.
_LOOK = {
    "STARTED": ("○", "o", "bright_black"),
    "IN_PROGRESS": ("▶", ">", "blue"),
    "RUNNING": ("▶", ">", "blue"),
    "COMPLETED": ("✔", "+", "green"),
    "SUCCESS": ("✔", "+", "green"),
    "COMPENSATING": ("◀", "<", "yellow"),
    "COMPENSATED": ("↩", "<", "magenta"),
    "PENDING": ("○", "o", "bright_black"),
    "SKIPPED": ("-", "-", "bright_black"),
    "UNKNOWN": ("?", "?", "yellow"),
    "FAILED": ("✘", "x", "red"),
    "COMPENSATION_FAILED": ("✘", "x", "red"),
    "ok": ("✔", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "error": ("✘", "x", "red"),
    "skipped": ("-", "-", "bright_black"),
}
_OTHER = ("·", ".", "")

#: Wide enough for every column, where the output is not a terminal.
_PIPE_WIDTH = 200


def console() -> Console:
    """Return the terminal, which prints what it cannot show as an escape instead of failing."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    made = Console(highlight=False, markup=False)
    return made if made.is_terminal else Console(width=_PIPE_WIDTH, highlight=False, markup=False)


def _is_ascii() -> bool:
    return not str(getattr(sys.stdout, "encoding", None) or "utf").lower().startswith("utf")


def table(*columns: str, whole: tuple[str, ...] = ()) -> Table:
    """Return an empty table. Its columns wrap and are never cut; *whole* ones do not even wrap."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    return made


def words(value: str, style: str = "") -> Text:
    """Return text from outside, without markup and without terminal control characters."""
    return Text(printable(value), style=style)


def printable(text: str) -> str:
    """Return a text without the characters that control a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def mark(name: str) -> Text:
    """Return the sign of a status or a level."""
    sign, plain, style = _LOOK.get(name, _OTHER)
    return Text(plain if _is_ascii() else sign, style=style)


def status(name: str) -> Text:
    """Return a status with its sign."""
    return Text.assemble(mark(name), " ", (name, _LOOK.get(name, _OTHER)[2]))


def took(began: datetime | None, ended: datetime | None) -> str:
    """Return how long something took; empty where it has not ended."""
    if began is None or ended is None:
        return ""
    duration = ended - began
    if duration < timedelta(minutes=2):
        return f"{duration.total_seconds():.2f} s"
    return str(timedelta(seconds=round(duration.total_seconds())))  # as 0:02:17


def age(seconds: float) -> str:
    """Return an age as the options take it: 45s, 12m, 3h, 5d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds / size)}{unit}"
    return f"{max(int(seconds), 0)}s"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 saga", "2 sagas"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
