"""The list of sagas: a row each that fits the terminal, with the reason where there is one."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sagas.cli.errors import describe_failure
from sagas.cli.terminal import age, console, status, took, words
from sagas.record.listing import ListedSaga
from sagas.record.queries import SagaView

__all__ = ["print_list"]

#: From this width on, a row has the whole id and the reason.
_WIDE = 160

#: A column that wraps is not made narrower than this.
_NARROWEST = 8

#: Columns that never wrap.
_WHOLE = ("id", "status", "age", "started (UTC)", "took")


def print_list(sagas: Sequence[ListedSaga], *, limit: int) -> None:
    """Print a row for each saga. Ids and keys wrap on a narrow terminal, and are never cut."""
    out = console()
    if not sagas:
        out.print("No sagas match.")
        return
    wide = out.width >= _WIDE
    # Where all have one name, the column would say nothing.
    named = wide or len({one.saga.name for one in sagas}) > 1
    rows = [_cells(one, wide=wide, named=named) for one in sagas]
    widths = _widths(rows, out.width)
    _print_row(out, {name: Text(name, style="bold") for name in rows[0]}, widths)
    for one, cells in zip(sagas, rows, strict=True):
        _print_row(out, cells, widths)
        if not wide and (why := _why(one.saga)):
            out.print(Padding(words(why, style="dim"), (0, 0, 0, 4)))
    if len(sagas) == limit:
        out.print(f"The newest {limit}; more with --limit.", style="bright_black")


def _cells(one: ListedSaga, *, wide: bool, named: bool) -> dict[str, Text]:
    saga = one.saga
    cells = {"id": Text(str(saga.id) if wide else one.short_id)}
    if named:
        cells["saga"] = words(saga.name)
    cells |= {
        "key": words(saga.key),
        "status": status(saga.status),
        "step": words(one.step or ""),
        "age": Text(age(one.age_s)),
    }
    if wide:
        cells["took"] = Text(took(saga.started_at, saga.ended_at))
        cells["why"] = words(_why(saga))
    return cells


def _why(saga: SagaView) -> str:
    stuck = saga.parked or saga.blocked
    return stuck["reason"] if stuck else describe_failure(saga)


def _widths(rows: Sequence[dict[str, Text]], width: int) -> dict[str, int]:
    """Return the widths of the columns; where they do not fit, the widest that may wrap shrink."""
    widths = {name: max(len(name), *(row[name].cell_len for row in rows)) for name in rows[0]}
    while sum(widths.values()) + 2 * (len(widths) - 1) > width:
        widest = max((name for name in widths if name not in _WHOLE), key=lambda n: widths[n])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _print_row(out: Console, cells: dict[str, Text], widths: dict[str, int]) -> None:
    row = Table.grid(padding=(0, 2, 0, 0))
    for name in cells:
        row.add_column(width=widths[name], overflow="fold")
    row.add_row(*cells.values())
    out.print(row)
