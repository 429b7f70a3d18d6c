"""The figures on a terminal of 100 columns."""

from rich import box
from rich.table import Table

from benchmarks.speed.grid import Grid

__all__ = ["table"]


def table(grid: Grid) -> Table:
    """Lay a grid out for a terminal."""
    drawn = Table(title=grid.title, title_justify="left", box=box.SIMPLE, pad_edge=False, width=100)
    for number, heading in enumerate(grid.headings):
        drawn.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    for row in grid.rows:
        drawn.add_row(*row)
    return drawn
