"""The arithmetic: percentiles, and minimum, median and maximum over the rounds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Rounds", "Spread", "percentile", "ratios", "spread", "values"]

#: By contender, its figures in each round; None where the round has none of it.
Rounds = Sequence[Mapping[str, Mapping[str, float]]]


class Spread(NamedTuple):
    """What the rounds gave."""

    minimum: float
    median: float
    maximum: float


def percentile(numbers: Sequence[float], share: float) -> float:
    """Return the smallest number such that this share of all is no greater (nearest rank).

    Raises:
        ValueError: there are no numbers, or the share is not above 0 and at most 1.
    """
    if not numbers or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(numbers)} numbers")
    return sorted(numbers)[math.ceil(share * len(numbers)) - 1]


def spread(numbers: Sequence[float]) -> Spread | None:
    """Return minimum, median and maximum; None where there are no numbers."""
    if not numbers:
        return None
    return Spread(min(numbers), statistics.median(numbers), max(numbers))


def values(rounds: Rounds, contender: str, metric: str) -> list[float]:
    """Return a contender's figure of each round that has it."""
    found = (figures.get(contender, {}).get(metric) for figures in rounds)
    return [value for value in found if value is not None]


def ratios(rounds: Rounds, contender: str, metric: str, *, to: str) -> list[float]:
    """Return, for each round that has both, a contender's figure over that of another.

    Never over a figure of another round: the machine may have been busier then.
    """
    pairs = (
        (figures.get(contender, {}).get(metric), figures.get(to, {}).get(metric))
        for figures in rounds
    )
    return [one / other for one, other in pairs if one is not None and other]
