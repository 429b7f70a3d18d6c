"""The list of sagas: a row each that fits the terminal, with the reason where there is one."""

from collections.abc import Sequence

from rich.text import Text

from sagas.cli.errors import describe_failure
from sagas.cli.rows import WIDE, Row, print_rows
from sagas.cli.terminal import age, console, status, took, words
from sagas.record.listing import ListedSaga
from sagas.record.queries import SagaView

__all__ = ["print_list"]

#: Columns that never wrap.
_WHOLE = ("id", "status", "age", "took")


def print_list(sagas: Sequence[ListedSaga], *, limit: int) -> None:
    """Print a row for each saga. Ids and keys wrap on a narrow terminal, and are never cut."""
    out = console()
    if not sagas:
        out.print("No sagas match.")
        return
    wide = out.width >= WIDE
    # Where all have one name, the column would say nothing.
    named = wide or len({one.saga.name for one in sagas}) > 1
    rows = [
        Row(_cells(one, wide=wide, named=named), "" if wide else _why(one.saga)) for one in sagas
    ]
    print_rows(out, rows, whole=_WHOLE)
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
