"""Striking: a schedule of faults, some of them overlapping, each in a thread of its own."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.soak.faults import KINDS, Kind
from tests.soak.scene import Busy, Scene
from tests.support.waiting import HANG_S

__all__ = ["Strike", "Strikes"]

#: So many of the faults come within a second of another one.
PAIRED = 0.25


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: its kind, and from when to when it lasted, in seconds since the epoch.

    *worker*: the worker that it hit, where it hit one.
    """

    kind: Kind
    worker: str | None
    began_at: float
    ended_at: float


@dataclass(slots=True)
class Strikes:
    """Strikes a scene so many times, spread evenly and at random over a time."""

    scene: Scene
    done: list[Strike] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def run(self, *, count: int, over_s: float) -> None:
        """Strike until the time is over; then wait until every fault has ended.

        No kind is left out: the time is over only when each has found its turn.
        """
        begun = time.monotonic()
        moments = _moments(self.scene.chance, count, over_s)
        for number, moment in enumerate(moments):
            self.scene.over.wait(max(0.0, begun + moment - time.monotonic()))
            self._begin(_next_kind(self.scene.chance, number))
        over_at = time.monotonic() + HANG_S
        for thread in self._threads[: len(KINDS)]:
            thread.join(max(0.0, over_at - time.monotonic()))
        self.scene.over.set()
        for thread in self._threads:
            thread.join()

    def _begin(self, kind: Kind) -> None:
        thread = threading.Thread(target=self._strike, args=(kind,), name=kind.title)
        self._threads.append(thread)
        thread.start()

    def _strike(self, kind: Kind) -> None:
        while True:
            began_at = time.time()
            try:
                worker = kind.strike(self.scene)
            except Busy:  # it waits for its turn
                if self.scene.over.wait(0.2):
                    return
                continue
            except Exception as error:  # noqa: BLE001 - told at the end, where it fails the soak
                self.errors.append(error)
                return
            break
        self.done.append(Strike(kind, worker, began_at, time.time()))

    @property
    def kinds(self) -> list[str]:
        """Every kind of fault that there is."""
        return [kind.title for kind in KINDS]

    @property
    def by_kind(self) -> Counter[str]:
        """How often each kind of fault was done."""
        return Counter(strike.kind.title for strike in self.done)


def _moments(chance: random.Random, count: int, over_s: float) -> list[float]:
    """Draw when to strike; a part of the strikes follows another one within a second."""
    apart = sorted(chance.uniform(0, over_s) for _ in range(round(count * (1 - PAIRED))))
    after = [chance.choice(apart) + chance.uniform(0, 1) for _ in range(count - len(apart))]
    return sorted([*apart, *after])


def _next_kind(chance: random.Random, number: int) -> Kind:
    """Take each kind once, then any: none is left out of a short soak."""
    if number < len(KINDS):
        return KINDS[number]
    return chance.choice([kind for kind in KINDS if not kind.once])
