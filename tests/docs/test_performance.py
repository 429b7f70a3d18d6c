"""What the page on performance shows is what was measured."""

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
