"""One run: one way to write the steps under one disturbance, from the first start to quiet."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.kills.broker import Broker
from benchmarks.kills.contenders import Contender, contender
from benchmarks.kills.databases import fresh_databases
from benchmarks.kills.disturbances import Disturbance, Scene
from benchmarks.kills.fleet import Fleet
from benchmarks.kills.participant import Participant
from benchmarks.kills.place import Place, Variant
from benchmarks.kills.quiet import Quiet
from benchmarks.kills.result import Course, Result, result_of

__all__ = ["Options", "run"]

_POLL_S = 0.02

#: A strike comes this long after a worker is ready, even if no work has begun.
_PATIENCE_S = 5.0

#: Workers that have not booted within this time never will.
_BOOT_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run; ``deadline_s`` counts from the end of the strikes, in seconds."""

    sagas: int
    declining: float
    strikes: int | None
    deadline_s: float
    database_url: str | None
    seed: int


def run(variant: Variant, disturbance: Disturbance, options: Options, directory: Path) -> Result:
    """Run it and return the result; everything that was started for it has ended by then."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        record, ledger = stack.enter_context(fresh_databases(options.database_url, directory))
        place = Place(variant, broker.url, record, ledger)
        participant = stack.enter_context(closing(Participant(ledger)))
        participant.create()
        chosen = stack.enter_context(closing(contender(place, participant)))
        workers = Fleet("one", "two", environment=place.environment, logs=directory)
        fleet = stack.enter_context(workers)
        the_run = _Run(disturbance, options, broker, participant, chosen, fleet)
        course = the_run.go()
        rows = participant.rows()
        return result_of(variant, disturbance.name, course, chosen, rows, the_run.declining)


class _Run:
    def __init__(
        self,
        disturbance: Disturbance,
        options: Options,
        broker: Broker,
        participant: Participant,
        chosen: Contender,
        fleet: Fleet,
    ) -> None:
        self._disturbance = disturbance
        self._options = options
        self._broker = broker
        self._participant = participant
        self._contender = chosen
        self._fleet = fleet
        self._chance = random.Random(f"{disturbance.name} {options.seed}")
        self.declining = self._choose_declining()

    def go(self) -> Course:
        """Start all sagas, strike while they run, and wait until it is quiet."""
        began = time.monotonic()
        strikes = self._start_and_strike()
        self._until(lambda: self._fleet.complete, _BOOT_S)
        complete = time.monotonic()
        over = Quiet(self._broker, self._participant, self._contender)
        quiet = self._until(over, self._options.deadline_s)
        now = time.monotonic()
        times = (round(now - began, 1), round(now - complete, 1))
        return Course(strikes, self._fleet.starts, *times, quiet)

    def _choose_declining(self) -> Mapping[int, bool]:
        numbers = range(self._options.sagas)
        count = round(self._options.sagas * self._options.declining)
        chosen = set(self._chance.sample(numbers, count))
        return {number: number in chosen for number in numbers}

    def _start_and_strike(self) -> int:
        """Start the sagas in portions; after each, let some work be done, then strike."""
        strikes = self._disturbance.times
        if strikes and self._options.strikes is not None:
            strikes = self._options.strikes
        for portion in _portions(list(self.declining), max(strikes, 1)):
            for number in portion:
                self._contender.start(number, declines=self.declining[number])
            self._let_work(portion)
            if strikes:
                self._disturbance.strike(self._scene())
        return strikes

    def _let_work(self, portion: Sequence[int]) -> None:
        some = self._chance.randint(1, 3 * max(len(portion), 1))
        goal = self._participant.count() + some
        self._until(lambda: bool(self._fleet.ready), _BOOT_S)
        self._until(
            lambda: bool(self._fleet.ready) and self._participant.count() >= goal, _PATIENCE_S
        )

    def _scene(self) -> Scene:
        """Aim the next strike at the worker that has just done something."""
        victim = self._fleet.pick(self._participant.latest_worker(), self._chance)
        return Scene(self._fleet, self._broker, victim, self._chance, self._pause)

    def _pause(self, seconds: float) -> None:
        self._until(lambda: False, seconds)

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Supervise the workers until the condition holds; False if that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._fleet.revive()
            time.sleep(_POLL_S)
        return True


def _portions(numbers: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    bounds = [round(len(numbers) * part / count) for part in range(count + 1)]
    return (numbers[first:last] for first, last in pairwise(bounds))
