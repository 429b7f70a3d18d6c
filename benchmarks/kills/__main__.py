"""``python -m benchmarks.kills``: the same kills against chains and sagas, side by side.

The exit code is 0 only if every saga whose participant has the barrier ended correctly.
"""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.kills.disturbances import DISTURBANCES, Disturbance
from benchmarks.kills.place import Variant
from benchmarks.kills.report import brief, table, write_json
from benchmarks.kills.result import Result
from benchmarks.kills.run import Options, run

console = Console()


def main() -> int:
    """Run every cell of the table, print it, and return the exit code."""
    # SIGTERM unwinds like Ctrl-C, so that no process is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    options = Options(
        sagas=arguments.sagas,
        declining=arguments.declining,
        strikes=arguments.strikes,
        deadline_s=arguments.deadline,
        database_url=arguments.database_url,
        seed=arguments.seed,
    )
    results: list[Result] = []
    try:
        with _directory(arguments.keep) as directory:
            for result in _run_all(_chosen(arguments), arguments.variant, options, directory):
                results.append(result)
                if arguments.json:
                    write_json(results, options, arguments.json)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 128 + signal.SIGINT
    console.print(table(results, options))
    return 1 if any(result.evidence for result in results if result.variant is Variant.SAGA) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.kills", description=__doc__)
    names = [disturbance.name for disturbance in DISTURBANCES]
    add = parser.add_argument
    add("--sagas", type=int, default=100, metavar="N", help="sagas in each run (100)")
    add("--declining", type=float, default=0.15, metavar="SHARE", help="share that declines (0.15)")
    add("--strikes", type=int, metavar="N", help="strikes in each run, instead of the default")
    add(
        "--deadline",
        type=float,
        default=90,
        metavar="S",
        help="seconds to end after the strikes (90)",
    )
    add("--only", nargs="+", choices=names, default=names, help="only these disturbances")
    add("--variant", nargs="+", type=Variant, choices=list(Variant), default=list(Variant))
    add("--database-url", metavar="URL", help="use this PostgreSQL database (SQLite files)")
    add("--json", type=Path, metavar="FILE", help="write the figures and the wrong ends to FILE")
    add("--keep", type=Path, metavar="DIR", help="keep the logs and databases in DIR")
    add("--seed", type=int, default=0, help="decides who declines and when strikes come (0)")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> Sequence[Disturbance]:
    return [disturbance for disturbance in DISTURBANCES if disturbance.name in arguments.only]


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _run_all(
    disturbances: Sequence[Disturbance],
    variants: Sequence[Variant],
    options: Options,
    directory: Path,
) -> Iterator[Result]:
    # The kills make the engine log warnings in this process too.
    logging.basicConfig(filename=directory / "driver.log")
    for disturbance in disturbances:
        for variant in variants:
            here = directory / f"{disturbance.name}-{variant}"
            here.mkdir()
            with console.status(f"{disturbance.title}: {variant}"):
                result = run(variant, disturbance, options, here)
            course = result.course
            took = f"[dim]in {course.seconds} s, {course.quiet_after_s} s after the strikes[/]"
            console.print(f"{disturbance.title}: {variant}: {brief(result)} {took}")
            yield result


if __name__ == "__main__":
    sys.exit(main())
