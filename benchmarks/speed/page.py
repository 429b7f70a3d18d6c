"""``python -m benchmarks.speed.page``: brings the page up to date with the kept results.

The page names each part by a comment: ``<!-- measured: plain -->``. What stands between that and
``<!-- end -->`` is generated from the JSON, so that no figure is typed by hand.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.speed.contenders import CONTENDERS
from benchmarks.speed.grid import Grid, grids
from benchmarks.speed.metrics import METRICS
from benchmarks.speed.plot import plot
from benchmarks.speed.result import Result
from benchmarks.speed.variants import PLAIN, VARIANTS

__all__ = ["KEPT", "PAGE", "refreshed", "write_page"]

_DOCS = Path(__file__).parents[2] / "docs"

#: Where the results of full runs are kept.
KEPT = _DOCS / "benchmarks"

PAGE = _DOCS / "explanation/performance.md"

_PART = re.compile(r"(<!-- measured: (\w+) -->).*?(<!-- end -->)", re.DOTALL)


def write_page() -> None:
    """Draw the plot and rewrite the page."""
    result = _kept(PLAIN)
    if result:
        (KEPT / "plain.svg").write_text(plot(result))
    PAGE.write_text(refreshed(PAGE.read_text()))


def refreshed(text: str) -> str:
    """Return the text with every part generated anew."""
    return _PART.sub(lambda match: f"{match[1]}\n\n{_PARTS[match[2]]()}\n\n{match[3]}", text)


def _kept(variant: str) -> Result | None:
    path = KEPT / f"{variant}.json"
    return Result.read(path) if path.exists() else None


def _plain() -> str:
    result = _kept(PLAIN)
    if not result:
        return "Not measured yet: run `make bench`."
    picture = "![Throughput and CPU time as multiples of the bare chain's](../benchmarks/plain.svg)"
    return "\n\n".join([_conditions(result), picture, *_tables(result), *_skipped(result)])


def _variants() -> str:
    parts = []
    for name, variant in VARIANTS.items():
        result = _kept(name) if name != PLAIN else None
        if result:
            headline = f"### {variant.title[0].upper()}{variant.title[1:]}"
            parts += [headline, _conditions(result), *_tables(result), *_skipped(result)]
    return "\n\n".join(parts) or 'None is kept yet: run `make bench ARGS="--variant io"`.'


def _sources() -> str:
    rows = [f"| {one.title} | {one.unit} | {one.source} |" for one in METRICS]
    return "\n".join(["| figure | unit | how it is measured |", "|---|---|---|", *rows])


def _names() -> str:
    rows = [f"| `{name}` | {variant.title} |" for name, variant in VARIANTS.items()]
    return "\n".join(["| variant | what runs |", "|---|---|", *rows])


def _conditions(result: Result) -> str:
    effort, machine = result.effort, result.machine
    where = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "at")
    return (
        f"{effort['rounds']} rounds of {effort['sagas']} sagas on {machine['at']}: {where}. "
        f"[All figures](../benchmarks/{result.variant}.json)."
    )


def _tables(result: Result) -> Iterator[str]:
    return map(_markdown, grids(result))


def _markdown(grid: Grid) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = "|---|" + "---:|" * (len(grid.headings) - 1)
    return "\n".join([f"{grid.title}:", "", line(grid.headings), rule, *map(line, grid.rows)])


def _skipped(result: Result) -> Iterator[str]:
    for name, reason in result.skipped.items():
        yield f"Left out: {CONTENDERS[name].title}. {reason.splitlines()[0]}"


_PARTS: dict[str, Callable[[], str]] = {
    "names": _names,
    "plain": _plain,
    "sources": _sources,
    "variants": _variants,
}

if __name__ == "__main__":
    write_page()
