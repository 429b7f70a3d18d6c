"""Whether sagas still end, one after the other: a busy machine is slow, and only a hang is not."""

import time

from sagas import SagaStatus
from sagas.record import queries
from tests.soak.place import Place
from tests.support.waiting import HANG_S

__all__ = ["Progress"]

#: How a saga ends: what is parked goes on, by a person.
_FOR_GOOD = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)


class Progress:
    """What has become of the sagas of a place since this was made."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._most = -1
        self._moved_at = time.monotonic()
        self.counts: dict[SagaStatus, int] = {}

    @property
    def all_ended(self) -> bool:
        """Whether every saga had ended when it was looked at last."""
        return self._ended == sum(self.counts.values())

    @property
    def _ended(self) -> int:
        return sum(self.counts.get(status, 0) for status in _FOR_GOOD)

    def hangs(self) -> bool:
        """Look, and tell whether no saga has ended for a very long time."""
        self.counts = dict(self._place.record.read(queries.count_by_status))
        if self._ended > self._most:
            self._most, self._moved_at = self._ended, time.monotonic()
        return time.monotonic() - self._moved_at > HANG_S
