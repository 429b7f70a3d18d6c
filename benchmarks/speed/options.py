"""What ``make bench`` is asked to run."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.contenders import BASELINE, CONTENDERS, Contender
from benchmarks.speed.page import KEPT
from benchmarks.speed.parts import Effort
from benchmarks.speed.variants import PLAIN, VARIANTS, Variant

__all__ = ["Options", "parse"]

#: Where the results of runs that are not full are written.
_PASSING = Path(__file__).parents[2] / "build/bench/results"


@dataclass(frozen=True, slots=True)
class Options:
    """Which contenders run and how, how often and how long, and where the result goes."""

    contenders: Sequence[Contender]
    variant: Variant
    rounds: int
    effort: Effort
    directory: Path


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; the bare chain always takes part, as all are compared with it."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--variant", choices=VARIANTS, default=PLAIN, help="what is run (plain)")
    add("--rounds", type=int, metavar="N", help="how often each is measured (3)")
    add("--sagas", type=int, metavar="N", help="sagas of one throughput (300)")
    add("--only", metavar="NAMES", help=f"some of {','.join(CONTENDERS)}")
    add("--quick", action="store_true", help="one round of 100 sagas, under two minutes")
    add("--out", type=Path, metavar="DIR", help="where the result is written")
    given = parser.parse_args(arguments)
    names = given.only.split(",") if given.only else list(CONTENDERS)
    if unknown := ", ".join(sorted({*names} - {*CONTENDERS})):
        parser.error(f"unknown: {unknown}; there are {', '.join(CONTENDERS)}")
    variant = VARIANTS[given.variant]
    is_full = not (given.quick or given.only or given.sagas or given.rounds)
    chosen = [one for name, one in CONTENDERS.items() if name in (*names, BASELINE)]
    return Options(
        contenders=[one for one in chosen if variant.suits(one)],
        variant=variant,
        rounds=given.rounds or (1 if given.quick else 3),
        effort=_effort(given.sagas, variant, is_quick=given.quick),
        directory=given.out or (KEPT if is_full else _PASSING),
    )


def _effort(sagas: int | None, variant: Variant, *, is_quick: bool) -> Effort:
    full, singles, counted = (100, 20, 20) if is_quick else (300, 50, 50)
    wanted = sagas or full // variant.slowness
    return Effort(sagas=wanted, latencies=singles, starts=full, counted=counted)
