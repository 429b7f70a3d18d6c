"""Participants, from one with a barrier to one that ignores every key."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sagas.states import Operation

__all__ = ["ACTION", "COMPENSATION", "Key", "Kind", "Line", "Participant"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: A participant that forgets does so after this long.
MEMORY = timedelta(seconds=15)


class Kind(StrEnum):
    """How reliable a participant is."""

    BARRIER = "barrier"
    CONTRARY = "contrary"  # has a barrier, and answers a repetition differently
    FORGETS = "forgets"  # has a barrier, and forgets its keys after a while
    KEYLESS = "keyless"  # ignores keys: it does whatever it is asked

    @property
    def reliable(self) -> bool:
        """Whether each effect is applied at most once."""
        return self in (Kind.BARRIER, Kind.CONTRARY)


class Key(NamedTuple):
    """What an idempotency key names."""

    step: str
    operation: Operation


class Line(NamedTuple):
    """What was done with one request."""

    step: str
    operation: Operation
    result: str


class Participant:
    """All the participants of one saga, and their append-only ledger."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.ledger: list[Line] = []
        self._done: set[Key] = set()
        self._known: dict[Key, datetime | None] = {}  # None means forever
        self._ruled_out: set[str] = set()

    def applied(self, step: str, operation: Operation) -> bool:
        """Tell whether the effect was applied, ever."""
        return (step, operation) in self._done

    def knows(self, step: str, operation: Operation) -> bool:
        """Tell whether it would call this a repetition."""
        return (step, operation) in self._known

    def find(self, step: str) -> bool:
        """Answer the probe; the answer no makes sure that the effect never happens."""
        if self.applied(step, ACTION):
            return True
        self._ruled_out.add(step)
        return False

    def settle(self, step: str) -> None:
        """Note that a person dealt with the step, so nothing more may happen there."""
        self._ruled_out.add(step)
        self._known[Key(step, ACTION)] = self._known[Key(step, COMPENSATION)] = None

    def apply(self, step: str, operation: Operation) -> None:
        """Apply an effect, whatever happened before."""
        self.ledger.append(Line(step, operation, "applied"))
        self._done.add(Key(step, operation))

    def act(self, step: str, operation: Operation, now: datetime) -> bool:
        """Apply an effect if that is allowed; return False if it must no longer happen."""
        result = self._judge(Key(step, operation), now)
        if result == "applied":
            self.apply(step, operation)
        else:
            self.ledger.append(Line(step, operation, result))
        return result != "refused" or operation is COMPENSATION

    def _judge(self, key: Key, now: datetime) -> str:
        step, operation = key
        if self.kind is Kind.FORGETS:
            self._forget(now)
        repeated = "duplicate" if key in self._done else "refused"
        if operation is ACTION and step in self._ruled_out:
            return repeated
        if self.kind is Kind.KEYLESS:
            return "applied"
        if key in self._known:
            return repeated
        self._known[key] = now
        if operation is COMPENSATION and (step, ACTION) not in self._done:
            self._known.setdefault(Key(step, ACTION), now)  # a tombstone
            return "refused"
        return "applied"

    def _forget(self, now: datetime) -> None:
        kept = self._known.items()
        self._known = {key: at for key, at in kept if at is None or at + MEMORY > now}
