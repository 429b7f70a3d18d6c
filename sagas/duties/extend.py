"""Extending: sagas whose messages this worker has received are not checked meanwhile."""

from sagas.duties.in_flight import InFlight
from sagas.record import due
from sagas.runtime.app import Runtime

__all__ = ["Extend"]


class Extend:
    """Postpones the check of sagas whose messages wait in this worker, and are not lost."""

    def __init__(self, runtime: Runtime, in_flight: InFlight) -> None:
        self._runtime = runtime
        self._in_flight = in_flight

    def extend_once(self) -> None:
        """Postpone them by a lease."""
        lease_s = self._runtime.settings.saga_lease_s
        within_s = self._runtime.settings.timing.timer_s + lease_s
        if messages := self._in_flight.unstarted(within_s=within_s):
            self._runtime.database.write(lambda c: due.extend(c, messages, extension_s=lease_s))
