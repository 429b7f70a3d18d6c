"""What the page on performance shows is what was measured."""

from benchmarks.speed.metrics import METRICS
from benchmarks.speed.page import KEPT, PAGE, refreshed
from benchmarks.speed.plot import plot
from benchmarks.speed.result import Result
from benchmarks.speed.variants import PLAIN


def test_the_page_shows_the_kept_results() -> None:
    now = PAGE.read_text()
    assert refreshed(now) == now, "run: python -m benchmarks.speed.page"


def test_the_plot_shows_the_kept_result() -> None:
    result = Result.read(KEPT / f"{PLAIN}.json")
    assert plot(result) == (KEPT / f"{PLAIN}.svg").read_text()


def test_every_figure_that_is_kept_is_explained() -> None:
    rounds = Result.read(KEPT / f"{PLAIN}.json").rounds
    kept = {name for figures in rounds for found in figures.values() for name in found}
    assert kept <= {metric.name for metric in METRICS}
