import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.speed.contenders import BASELINE, CONTENDERS
from benchmarks.speed.grid import grids
from benchmarks.speed.metrics import METRICS
from benchmarks.speed.plot import plot
from benchmarks.speed.result import Result
from benchmarks.speed.table import WIDTH, table


@pytest.fixture
def result() -> Result:
    """Return three rounds in which everyone has every figure, and large ones."""
    rounds = [
        {name: {metric.name: 123.456 * number for metric in METRICS} for name in CONTENDERS}
        for number in (1, 2, 3)
    ]
    rounds[0][BASELINE] = {"sagas_s": 10.0, "cpu_ms": 5.0}
    return Result("plain", {}, {}, {}, rounds)


def test_no_cell_is_cut_on_a_terminal_of_100_columns(result: Result) -> None:
    screen = io.StringIO()
    for grid in grids(result):
        Console(file=screen, width=WIDTH).print(table(grid))
    text = screen.getvalue()
    assert "1.00 (1.00 to 12.35)" in text
    assert "…" not in text
    assert WIDTH == 100
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_a_contender_does_not_have_is_a_dash(result: Result) -> None:
    starts = grids(result)[0].headings.index("by 1,000")
    for figures in result.rounds:
        del figures["ours"]["batch_starts_s"]
    rows = {row[0]: row for row in grids(result)[0].rows}
    assert rows[CONTENDERS["ours"].title][starts] == "-"
    assert rows[CONTENDERS["orm"].title][starts] == "247"


def test_one_that_never_ran_has_no_row(result: Result) -> None:
    for figures in result.rounds:
        del figures["dbos"]
    assert CONTENDERS["dbos"].title not in [row[0] for row in grids(result)[0].rows]


def test_the_plot_has_a_bar_for_everyone(result: Result) -> None:
    drawn = plot(result)
    assert all(drawn.count(f">{one.title}<") == 2 for one in CONTENDERS.values())


def test_a_result_is_read_back_as_it_was_written(result: Result, tmp_path: Path) -> None:
    result.write(tmp_path / "plain.json")
    assert Result.read(tmp_path / "plain.json") == result
