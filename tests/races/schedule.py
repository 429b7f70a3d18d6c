"""Every order in which two transactions can take their statements.

Two sessions, each with a thread and a connection of its own, stop before every statement and before
the end of their transaction. A session that waits for a lock of the other cannot be chosen until
the lock is free. The orders are enumerated depth first: each run repeats the choices of the
previous one up to the last choice that has an alternative.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.races.session import Session
from tests.support.waiting import HANG_S

__all__ = ["Choices", "in_every_order", "race"]

#: More statements than any pair of transactions has, repeats included.
_LONGEST = 100

T = TypeVar("T")


@dataclass
class Choices:
    """The choices of one run: the given ones, and after them always the first option."""

    given: Sequence[int] = ()
    made: list[tuple[int, int]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def choose(self, ready: Sequence[Session]) -> Session:
        """Choose the session that goes next."""
        place = len(self.made)
        number = self.given[place] if place < len(self.given) else 0
        if place == _LONGEST or number >= len(ready):
            raise AssertionError(
                f"The race does not end, or differs from the previous run:\n{self}"
            )
        self.made.append((number, len(ready)))
        return ready[number]

    def following(self) -> list[int] | None:
        """Return the choices of the next run; None if this was the last."""
        made = list(self.made)
        while made:
            number, count = made.pop()
            if number + 1 < count:
                return [*(chosen for chosen, _ in made), number + 1]
        return None

    def __str__(self) -> str:
        return "\n".join(" ".join(line.split())[:120] for line in self.taken)


def in_every_order(run: Callable[[Choices], T]) -> Iterator[tuple[Choices, T]]:
    """Run a race in every order; yield each order with its result."""
    given: list[int] | None = []
    while given is not None:
        choices = Choices(given)
        result = run(choices)
        yield choices, result
        given = choices.following()


def race(sessions: Sequence[Session], choices: Choices) -> None:
    """Run the moves that the sessions have begun, statement by statement, in one order."""
    try:
        _settle(sessions, choices)
        while not all(session.finished for session in sessions):
            _take_one(sessions, choices)
            _settle(sessions, choices)
    finally:
        for session in sessions:
            session.end()


def _take_one(sessions: Sequence[Session], choices: Choices) -> None:
    chosen = choices.choose([s for s in sessions if not s.finished and s.rests() and not s.blocked])
    taken = chosen.go()
    choices.taken.append(f"{chosen.name}: {taken}")
    if taken in ("COMMIT", "ROLLBACK"):
        for session in sessions:
            session.may_try_again()


def _settle(sessions: Sequence[Session], choices: Choices) -> None:
    """Wait until each session has stopped or is blocked by one that has stopped."""
    deadline = time.monotonic() + HANG_S
    # Check for a stop first: the others do not wait for locks that a stopped session released.
    while moving := [session for session in sessions if not session.rests()]:
        # If each waits for the other, the database ends one of the transactions.
        if len(moving) < len(sessions) and all(session.blocked for session in moving):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"Neither stopped nor blocked: {moving}, after\n{choices}")
