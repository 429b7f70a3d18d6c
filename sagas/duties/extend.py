"""Extending: sagas whose messages this worker has received are not checked meanwhile."""

from sagas.duties.in_flight import InFlight
from sagas.record import due
from sagas.runtime.app import Runtime
from sagas.sql import chunked

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
        # Each piece in a transaction of its own: a prefetch without a limit may hold thousands.
        for some in chunked(self._in_flight.unstarted(within_s=within_s)):
            self._runtime.database.write(
                lambda c, some=some: due.extend(c, some, extension_s=lease_s)  # type: ignore[misc]
            )
