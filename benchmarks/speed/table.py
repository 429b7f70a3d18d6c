"""The figures on a terminal."""

from rich import box
from rich.table import Table

from benchmarks.speed.grid import Grid

__all__ = ["WIDTH", "table"]

#: How wide a table may be, in columns.
WIDTH = 100


def table(grid: Grid) -> Table:
    """Lay a grid out for a terminal."""
    drawn = Table(
        title=grid.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    for number, heading in enumerate(grid.headings):
        drawn.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in grid.rows:
        drawn.add_row(*row)
    return drawn
