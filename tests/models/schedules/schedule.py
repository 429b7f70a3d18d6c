"""One schedule: a time of trouble, a calm, and the check. An error names the seed."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.models.schedules.check import violations
from tests.models.schedules.guards import tally
from tests.models.schedules.record import Record
from tests.models.schedules.troubles import calm_down, trouble
from tests.models.schedules.world import World

__all__ = ["Run", "run", "simulate"]


@dataclass
class Run:
    """The result of many schedules: what occurred, and the seed and error of each failure."""

    schedules: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Run") -> None:
        """Add the result of further schedules."""
        self.schedules += other.schedules
        self.counts.update(other.counts)
        self.failed |= other.failed


def run(seeds: Iterable[int], record: Callable[..., Record] = Record) -> Run:
    """Run one schedule for each seed."""
    done = Run()
    for seed in seeds:
        done.schedules += 1
        try:
            done.counts.update(tally(simulate(World(seed, record))))
        except Exception as error:  # noqa: BLE001 - every error is reported with its seed
            done.failed[seed] = f"{type(error).__name__}: {error}"
    return done


def simulate(world: World) -> World:
    """Run one schedule.

    Raises:
        AssertionError: a rule is broken, or an edge is not declared.
    """
    trouble(world)
    calm_down(world)
    found = violations(world)
    assert not found, "; ".join(map(str, found))
    return world
