"""The heartbeat: a worker's sign of life in the record."""

import os
import time

from sagas.decision import PATIENCE_LEASES
from sagas.duties.in_flight import InFlight
from sagas.record import workers
from sagas.runtime.app import Runtime
from sagas.runtime.queues import consumed_here

__all__ = ["Heartbeat"]


class Heartbeat:
    """Writes the heartbeat of one worker's main process."""

    def __init__(self, runtime: Runtime, in_flight: InFlight) -> None:
        self._runtime = runtime
        self._lease_s = runtime.settings.saga_lease_s
        self._in_flight = in_flight
        self._written_at: float | None = None
        self._steady_since: float | None = None

    def heartbeat_once(self) -> None:
        """Write a heartbeat."""
        if self._runtime.worker_id is None:
            raise AssertionError("Only a worker has a heartbeat.")
        self._runtime.require_own_record(claim=True)
        heartbeat = workers.Heartbeat(
            self._runtime.worker_id,
            self._runtime.hostname,
            os.getpid(),
            dict(self._in_flight.seen),
            consumed_here(self._runtime.app),
            # A lease before their sagas are checked again, so that every sweep has read it by then.
            self._in_flight.withheld(held_s=(PATIENCE_LEASES - 1) * self._lease_s),
        )
        began = time.monotonic()
        self._runtime.database.write(lambda c: workers.write_heartbeat(c, heartbeat))
        if self._written_at is not None and time.monotonic() - self._written_at > self._lease_s:
            self._steady_since = time.monotonic()
        elif self._steady_since is None:
            self._steady_since = began - self._lease_s
        self._written_at = time.monotonic()

    def is_steady(self) -> bool:
        """Tell whether this worker has missed no heartbeat for a lease.

        Whatever made it miss one, a stopped process or a database out of reach, may well have
        silenced the others too: they get a lease to write again before they are judged.
        """
        steady_since = self._steady_since
        return steady_since is not None and time.monotonic() - steady_since >= self._lease_s
