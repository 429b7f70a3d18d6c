"""Extending: what this worker has in flight is neither checked nor taken over meanwhile."""

from functools import partial

from sagas.decision import PATIENCE_LEASES
from sagas.duties.in_flight import InFlight
from sagas.record import due, workers
from sagas.runtime.app import Runtime
from sagas.sql import chunked

__all__ = ["Extend", "ExtendAttempts"]

#: An attempt is extended in this last part of the lease that passes between the moment at which its
#: pool must have ended it and its expiry: an attempt that was ended in time is never extended.
EXTEND_BEFORE = 0.75


class Extend:
    """Postpones the check of sagas whose messages wait in this worker, and are not lost.

    Not for ever: if a step hangs, the messages behind it may never be started, and another worker
    that idles can run copies of them.
    """

    def __init__(self, runtime: Runtime, in_flight: InFlight) -> None:
        self._runtime = runtime
        self._in_flight = in_flight

    def extend_once(self) -> None:
        """Postpone them by a lease."""
        lease_s = self._runtime.settings.saga_lease_s
        within_s = self._runtime.settings.timing.timer_s + lease_s
        # Each piece in a transaction of its own: a prefetch without a limit may hold thousands.
        held_s = PATIENCE_LEASES * lease_s
        for some in chunked(self._in_flight.unstarted(within_s=within_s, held_s=held_s)):
            self._runtime.database.write(
                lambda c, some=some: due.extend(c, some, extension_s=lease_s)  # type: ignore[misc]
            )


class ExtendAttempts:
    """Keeps attempts that overrun their timeout from being taken over while they still run.

    Celery ends an attempt at its timeout only where its pool can. Where it cannot, an attempt that
    is retried or undone while it runs could have its effect after that.
    """

    def __init__(self, runtime: Runtime, in_flight: InFlight) -> None:
        self._runtime = runtime
        self._in_flight = in_flight
        self._lease_s = runtime.settings.saga_lease_s

    def extend_once(self) -> None:
        """Let the attempts that this worker runs expire in a lease at the earliest."""
        worker_id = self._runtime.worker_id
        if worker_id is None:
            return
        database, lease_s = self._runtime.database, self._lease_s
        within_s = EXTEND_BEFORE * lease_s
        late = database.read(lambda c: workers.overrunning(c, worker_id, within_s=within_s))
        running = self._in_flight.task_ids()  # read after the record: a claim follows a reservation
        for saga_id, task_id in late.items():
            if task_id in running:
                extend = partial(
                    workers.extend_attempt,
                    worker_id=worker_id,
                    saga_id=saga_id,
                    task_id=task_id,
                    extension_s=lease_s,
                )
                database.write(extend)
