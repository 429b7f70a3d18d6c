"""Expiring workers: the sagas that a dead worker held become due at once."""

import logging
from uuid import UUID

from sagas.duties.heartbeat import Heartbeat
from sagas.record import workers
from sagas.runtime.app import Runtime

__all__ = ["ExpireWorkers"]

logger = logging.getLogger(__name__)


class ExpireWorkers:
    """Removes workers whose lease has ended from the record; one of the living does it for each."""

    def __init__(self, runtime: Runtime, heartbeat: Heartbeat) -> None:
        self._runtime = runtime
        self._lease_s = runtime.settings.saga_lease_s
        self._heartbeat = heartbeat

    def expire_once(self) -> None:
        """Expire every other worker whose lease has ended."""
        if not self._heartbeat.is_steady():
            return
        database = self._runtime.database
        stale = database.read(lambda c: workers.stale_workers(c, self._lease_s))
        for worker_id, hostname in stale.items():
            if worker_id != self._runtime.worker_id:
                self._expire(worker_id, hostname)

    def _expire(self, worker_id: UUID, hostname: str) -> None:
        if self._runtime.database.write(lambda c: workers.expire(c, worker_id, self._lease_s)):
            logger.warning(
                "Worker %s (%s) has expired: no heartbeat for %g s. Its sagas are taken over.",
                hostname,
                worker_id,
                self._lease_s,
            )

    def leave(self) -> None:
        """Remove this worker, so that what it still holds is due at once."""
        own = self._runtime.worker_id
        if own is not None:
            self._runtime.database.write(lambda c: workers.expire(c, own, None))
