"""A worker's signs of life, and the burial of workers that give none."""

import logging
import os
import time
from uuid import UUID

from sagas.record import liveness as record
from sagas.runtime.app import Runtime
from sagas.runtime.hand import Hand

__all__ = ["Liveness"]

logger = logging.getLogger(__name__)


class Liveness:
    """What one worker's main process tells of itself, and what it concludes about the others."""

    def __init__(self, runtime: Runtime, hand: Hand) -> None:
        self._runtime = runtime
        self._lease_s = runtime.settings.saga_lease_s
        self._hand = hand
        self._beaten_at: float | None = None
        self._steady_since: float | None = None

    def beat_once(self) -> None:
        """Write this worker's sign of life."""
        if self._runtime.worker_id is None:
            raise AssertionError("Only a worker has a heartbeat.")
        sign = record.Heartbeat(
            self._runtime.worker_id, self._runtime.hostname, os.getpid(), dict(self._hand.seen)
        )
        began = time.monotonic()
        self._runtime.database.write(lambda connection: record.beat(connection, sign))
        # A gap of our own, by a stopped process or an unreachable database, may well have silenced
        # the others too: nobody is judged until they have had a lease to speak up.
        if self._beaten_at is not None and time.monotonic() - self._beaten_at > self._lease_s:
            self._steady_since = time.monotonic()
        elif self._steady_since is None:
            self._steady_since = began - self._lease_s
        self._beaten_at = time.monotonic()

    def bury_once(self) -> None:
        """Make due what workers held that are dead; each is buried by one of the living."""
        steady = self._steady_since
        if steady is None or time.monotonic() - steady < self._lease_s:
            return
        database = self._runtime.database
        stale = database.read(lambda c: record.stale_workers(c, self._lease_s))
        for worker_id, hostname in stale.items():
            if worker_id != self._runtime.worker_id:
                self._bury(worker_id, hostname)

    def _bury(self, worker_id: UUID, hostname: str) -> None:
        database = self._runtime.database
        if database.write(lambda c: record.bury(c, worker_id, self._lease_s)):
            logger.warning(
                "Worker %s (%s) is gone: no sign of life for %g s. What it held is taken over.",
                hostname,
                worker_id,
                self._lease_s,
            )

    def leave(self) -> None:
        """End this incarnation: what is still held is due at once."""
        gone = self._runtime.worker_id
        if gone is not None:
            self._runtime.database.write(lambda c: record.bury(c, gone, None))
