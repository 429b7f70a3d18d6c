"""The ways to write the steps, as the driver sees them: start one, ask how each ended."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from celery import Celery

from benchmarks.kills import chain, saga
from benchmarks.kills.participant import Participant, Row
from benchmarks.kills.place import Place, Variant
from benchmarks.kills.verdict import Ending, ending_by_rows
from sagas import SagaStatus, barrier
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.queries import count_by_status
from sagas.runtime.app import Runtime, bind

__all__ = ["Contender", "contender"]

_ENDINGS = {
    SagaStatus.COMPLETED: Ending.COMPLETED,
    SagaStatus.COMPENSATED: Ending.COMPENSATED,
    SagaStatus.FAILED: Ending.PARKED,
}


class Contender(Protocol):
    """One way to write the steps."""

    @property
    def app(self) -> Celery:
        """The app through which the driver publishes."""

    def start(self, number: int, *, declines: bool) -> None:
        """Start one."""

    def open(self) -> int | None:
        """Return how many have not ended, or None if nobody can tell."""

    def ending(self, number: int, rows: Sequence[Row]) -> Ending:
        """Return how one ended."""

    def history(self, number: int) -> Sequence[str]:
        """Return what is known about the course of one."""

    def close(self) -> None:
        """Close the connections of this process."""


class _Chain:
    def __init__(self, place: Place) -> None:
        self.app = chain.make_app(place)

    def start(self, number: int, *, declines: bool) -> None:
        chain.start(number, declines=declines)

    def open(self) -> int | None:
        return None

    def ending(self, number: int, rows: Sequence[Row]) -> Ending:
        del number
        return ending_by_rows(rows)

    def history(self, number: int) -> Sequence[str]:
        del number
        return ()

    def close(self) -> None:
        self.app.close()


class _Saga:
    def __init__(self, place: Place, participant: Participant) -> None:
        barrier.create_tables(participant.engine)
        upgrade(Database(place.record_url))
        self.app = saga.make_app(place)
        self._runtime: Runtime = bind(self.app)
        self._barrier = place.variant == Variant.SAGA

    def start(self, number: int, *, declines: bool) -> None:
        order = saga.Order(number=number, declines=declines, barrier=self._barrier)
        saga.order_saga.start(order, key=str(number))

    def open(self) -> int | None:
        counts: Mapping[SagaStatus, int] = self._runtime.database.read(count_by_status)
        return sum(count for status, count in counts.items() if status not in _ENDINGS)

    def ending(self, number: int, rows: Sequence[Row]) -> Ending:
        del rows
        return _ENDINGS.get(saga.order_saga.get(key=str(number)).status, Ending.OPEN)

    def history(self, number: int) -> Sequence[str]:
        entries = saga.order_saga.get(key=str(number)).history()
        return [
            f"{entry.at:%H:%M:%S.%f} epoch {entry.epoch} {entry.event} {entry.step or ''} "
            f"{entry.operation or ''} {entry.attempt or ''} by {entry.actor} {entry.detail or ''}"
            for entry in entries
        ]

    def close(self) -> None:
        self.app.close()
        self._runtime.database.dispose()


def contender(place: Place, participant: Participant) -> Contender:
    """Return the place's contender; its app is the current one, and its tables exist."""
    return _Saga(place, participant) if Variant(place.variant).is_saga else _Chain(place)
