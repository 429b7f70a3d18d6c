"""The figures as rows of text, which the terminal and the page lay out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.speed.contenders import BASELINE, CONTENDERS
from benchmarks.speed.metrics import METRICS
from benchmarks.speed.result import Result
from benchmarks.speed.summary import Spread, ratios, spread, values

__all__ = ["Grid", "grids"]

_NONE = "-"

_metrics = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its title, its headings, and its rows."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


#: Returns the text of a cell for a contender.
_Cell = Callable[[Result, str], str]


def grids(result: Result) -> list[Grid]:
    """Return how fast everyone was, and at what cost."""
    return [
        _grid("How fast: median (minimum to maximum)", _FAST, result),
        _grid(
            (
                "At what cost for a saga, medians: CPU in ms of client, workers and database; "
                "SQL statements; durable commits (writes); WAL in KB; HOT updates in %; Redis "
                "commands, and their traffic in KB; memory of the workers in MB"
            ),
            _COST,
            result,
        ),
    ]


def _grid(title: str, columns: dict[str, _Cell], result: Result) -> Grid:
    rows = [
        [CONTENDERS[name].title, *(cell(result, name) for cell in columns.values())]
        for name in result.contenders
    ]
    return Grid(title, ["", *columns], rows)


def _median(metric: str) -> _Cell:
    def cell(result: Result, name: str) -> str:
        found = spread(values(result.rounds, name, metric))
        return _number(found.median, metric) if found else _NONE

    return cell


def _spread(metric: str) -> _Cell:
    def cell(result: Result, name: str) -> str:
        found = spread(values(result.rounds, name, metric))
        return _between(found, lambda value: _number(value, metric)) if found else _NONE

    return cell


def _ratio(metric: str) -> _Cell:
    def cell(result: Result, name: str) -> str:
        found = spread(ratios(result.rounds, name, metric, to=BASELINE))
        return _between(found, lambda value: f"{value:.2f}") if found else _NONE

    return cell


def _median_ratio(metric: str) -> _Cell:
    def cell(result: Result, name: str) -> str:
        found = spread(ratios(result.rounds, name, metric, to=BASELINE))
        return f"{found.median:.1f}" if found else _NONE

    return cell


def _between(found: Spread, text: Callable[[float], str]) -> str:
    low, middle, high = map(text, found)
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(value: float, metric: str) -> str:
    return f"{value:,.{_metrics[metric].digits}f}"


_FAST: dict[str, _Cell] = {
    "sagas/s": _spread("sagas_s"),
    "to the chain": _ratio("sagas_s"),
    "starts/s": _median("starts_s"),
    "by 1,000": _median("batch_starts_s"),
    "p50 ms": _median("p50_ms"),
    "p99 ms": _median("p99_ms"),
}

_COST: dict[str, _Cell] = {
    "client": _median("cpu_client_ms"),
    "workers": _median("cpu_workers_ms"),
    "DB": _median("cpu_database_ms"),
    "x chain": _median_ratio("cpu_ms"),
    "SQL": _median("statements"),
    "writes": _median("commits"),
    "WAL": _median("wal_kb"),
    "HOT": _median("hot_percent"),
    "Redis": _median("redis_commands"),
    "KB": _median("redis_kb"),
    "MB": _median("worker_mb"),
}
