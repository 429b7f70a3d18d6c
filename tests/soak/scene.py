"""What faults and episodes can reach, and how they tell that they must wait for their turn."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from tests.soak.place import Place
from tests.support.workers import Supervised, Worker

__all__ = ["LEASE_S", "Busy", "Scene", "alone", "while_it_answers"]

#: The engine's default lease, in seconds: who is silent for so long is missed.
LEASE_S = 3.0


class Busy(Exception):
    """There is nothing to strike at this moment, or something else is being done to it."""


@dataclass(slots=True)
class Scene:
    """What faults can reach. Each draws from the one source of chance."""

    place: Place
    workers: list[Worker]
    shops: list[Supervised]
    chance: random.Random
    over: threading.Event
    captured: list[bytes] = field(default_factory=list)

    def pause(self, least_s: float, most_s: float) -> None:
        """Let a fault last, but not beyond the end of all faults."""
        self.over.wait(self.chance.uniform(least_s, most_s))


@contextmanager
def alone(lock: threading.Lock) -> Iterator[None]:
    """Hold the lock of a server while something is done to it; Busy where somebody else does."""
    if not lock.acquire(blocking=False):
        raise Busy
    try:
        yield
    finally:
        lock.release()


@contextmanager
def while_it_answers() -> Iterator[None]:
    """Be Busy where another fault keeps the database from answering."""
    try:
        yield
    except DBAPIError:
        raise Busy from None
