"""What ``make bench`` is asked to run."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.contenders import BASELINE, CONTENDERS, Contender
from benchmarks.speed.parts import Effort

__all__ = ["Options", "parse"]

_ROOT = Path(__file__).parents[2]

#: Where the results of full runs are kept, and where all others are written.
_KEPT, _PASSING = _ROOT / "docs/benchmarks", _ROOT / "build/bench/results"


@dataclass(frozen=True, slots=True)
class Options:
    """Which contenders run, how often and how long, and where the result goes."""

    contenders: Sequence[Contender]
    rounds: int
    effort: Effort
    directory: Path


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; the bare chain always takes part, as all are compared with it."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, metavar="N", help="how often each is measured (3)")
    add("--sagas", type=int, metavar="N", help="sagas of one throughput (300)")
    add("--only", metavar="NAMES", help=f"some of {','.join(CONTENDERS)}")
    add("--quick", action="store_true", help="one round of 100 sagas, under two minutes")
    add("--out", type=Path, metavar="DIR", help="where the result is written")
    given = parser.parse_args(arguments)
    names = given.only.split(",") if given.only else list(CONTENDERS)
    if unknown := ", ".join(sorted({*names} - {*CONTENDERS})):
        parser.error(f"unknown: {unknown}; there are {', '.join(CONTENDERS)}")
    sagas = given.sagas or (100 if given.quick else 300)
    is_full = not (given.quick or given.only or given.sagas or given.rounds)
    return Options(
        contenders=[one for name, one in CONTENDERS.items() if name in (*names, BASELINE)],
        rounds=given.rounds or (1 if given.quick else 3),
        effort=Effort(
            sagas=sagas,
            latencies=20 if given.quick else 50,
            starts=100 if given.quick else 300,
            counted=20 if given.quick else 50,
        ),
        directory=given.out or (_KEPT if is_full else _PASSING),
    )
