"""Rows that fit the terminal: columns wrap and are never cut, and a row may have a line below."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sagas.cli.terminal import words

__all__ = ["WIDE", "Row", "print_rows"]

#: From this width on, everything has a column of its own.
WIDE = 160

#: A column that wraps is not made narrower than this.
_NARROWEST = 8


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row by column, and what is said below it, if anything."""

    cells: dict[str, Text]
    below: str = ""


def print_rows(out: Console, rows: Sequence[Row], *, whole: Collection[str]) -> None:
    """Print rows with the same columns, of which those in *whole* never wrap."""
    if not rows:
        return
    widths = _widths([row.cells for row in rows], out.width, whole)
    _print_cells(out, {name: Text(name, style="bold") for name in widths}, widths)
    for row in rows:
        _print_cells(out, row.cells, widths)
        if row.below:
            out.print(Padding(words(row.below, style="dim"), (0, 0, 0, 4)))


def _widths(rows: Sequence[dict[str, Text]], width: int, whole: Collection[str]) -> dict[str, int]:
    """Return the widths of the columns; where they do not fit, the widest that may wrap shrink."""
    widths = {name: max(len(name), *(row[name].cell_len for row in rows)) for name in rows[0]}
    may_wrap = [name for name in widths if name not in whole]
    while may_wrap and sum(widths.values()) + 2 * (len(widths) - 1) > width:
        widest = max(may_wrap, key=lambda name: widths[name])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _print_cells(out: Console, cells: dict[str, Text], widths: dict[str, int]) -> None:
    row = Table.grid(padding=(0, 2, 0, 0))
    for name in cells:
        row.add_column(width=widths[name], overflow="fold")
    row.add_row(*cells.values())
    out.print(row)
