"""The figures side by side: a table for people, JSON for programs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.kills.disturbances import DISTURBANCES
from benchmarks.kills.place import Variant
from benchmarks.kills.result import Result
from benchmarks.kills.run import Options
from benchmarks.kills.verdict import Wrong

__all__ = ["TITLES", "brief", "table", "write_json"]

TITLES = {
    Variant.CHAIN: "chain + link_error,\nearly ack",
    Variant.CHAIN_LATE: "chain + link_error, acks_late,\nreject_on_worker_lost",
    Variant.SAGA: "saga",
    Variant.SAGA_BARE: "saga, participant\nwithout barrier",
}


def brief(result: Result) -> str:
    """Return the wrong ends of one run in one line."""
    found = _counts(result.wrong)
    if result.turned_back:
        found += f" [dim]({result.turned_back} turned back)[/]"
    return found if result.course.quiet else f"{found} [yellow](not quiet in time)[/]"


def _counts(wrong: Mapping[Wrong, int]) -> str:
    if not wrong:
        return "[green]0[/]"
    return ", ".join(f"[red]{wrong[kind]}[/] {kind}" for kind in Wrong if wrong.get(kind))


def table(results: Sequence[Result], options: Options) -> Table:
    """Return the table: a row for each disturbance, a column for each way to write the steps."""
    made = Table(
        title=f"Wrong ends of {options.sagas} three-step sagas; {options.declining:.0%} decline "
        "at the last step",
        show_lines=True,
    )
    variants = list(dict.fromkeys(result.variant for result in results))
    made.add_column("disturbance")
    for variant in variants:
        made.add_column(TITLES[variant])
    cells = {(result.disturbance, result.variant): result for result in results}
    for disturbance in DISTURBANCES:
        row = [cells.get((disturbance.name, variant)) for variant in variants]
        if strikes := {result.course.strikes for result in row if result}:
            times = f", {max(strikes)} times" if max(strikes) else ""
            made.add_row(f"{disturbance.title}{times}", *(brief(r) if r else "" for r in row))
    made.add_row("[bold]wrong ends in total", *(_total(results, variant) for variant in variants))
    return made


def _total(results: Sequence[Result], variant: Variant) -> str:
    runs = [result for result in results if result.variant is variant]
    wrong = sum(len(result.evidence) for result in runs)
    return f"[bold {'red' if wrong else 'green'}]{wrong}[/] of {sum(run.sagas for run in runs)}"


def write_json(results: Sequence[Result], options: Options, path: Path) -> None:
    """Write all results, with the rows and the history of each saga that ended wrong."""
    packages = ("celery", "kombu", "redis", "sqlalchemy", "celery-sagas")
    known: dict[str, Any] = {
        "options": {**asdict(options), "database_url": _backend(options.database_url)},
        "versions": {package: version(package) for package in packages},
        "ended_wrong": Counter(
            {
                variant: sum(len(r.evidence) for r in results if r.variant is variant)
                for variant in Variant
            }
        ),
        "runs": [{**asdict(result), "right": result.right} for result in results],
    }
    path.write_text(json.dumps(known, indent=2) + "\n")


def _backend(url: str | None) -> str:
    return "sqlite" if url is None else url.partition(":")[0]
