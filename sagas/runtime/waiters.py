"""Waiting for sagas to end: all callers of a process share one query to the record."""

import threading
import time
from collections import Counter
from uuid import UUID

from sagas.record import queries
from sagas.record.database import Database
from sagas.states import SagaStatus

__all__ = ["Waiters"]

#: The first query comes this soon after the latest wait began; the pause then grows.
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25


class Waiters:
    """The sagas that callers wait for; the first caller whose pause is over queries for all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._wanted: Counter[UUID] = Counter()
        self._ended: dict[UUID, SagaStatus] = {}
        #: The thread that is querying, if any.
        self._querying: int | None = None
        self._queries = 0
        self._pause_s = FIRST_PAUSE_S
        self._queried_at = 0.0

    def wait(self, saga_id: UUID, timeout_s: float) -> SagaStatus | None:
        """Return the saga's final status, or None if *timeout_s* seconds pass first.

        The record is queried at least once, whatever the timeout.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._wanted[saga_id] += 1
            self._pause_s = FIRST_PAUSE_S
            on_its_way = self._querying is not None
            first_query = self._queries + on_its_way + 1  # the first that includes this saga
        try:
            while self._my_turn(saga_id, deadline, first_query):
                self._query()
            return self._ended.get(saga_id)
        finally:
            self._leave(saga_id)

    def _my_turn(self, saga_id: UUID, deadline: float, first_query: int) -> bool:
        """Wait until this thread must query, which is True, or until there is no need to."""
        with self._changed:
            while saga_id not in self._ended:
                now = time.monotonic()
                if now >= deadline and self._queries >= first_query:
                    return False
                next_at = self._queried_at + self._pause_s
                if self._querying is None and now >= next_at:
                    self._querying = threading.get_ident()
                    return True
                until = next_at if self._queries < first_query else min(next_at, deadline)
                self._changed.wait(max(until - now, 0.001))
            return False

    def _query(self) -> None:
        wanted = tuple(self._wanted)
        ended: dict[UUID, SagaStatus] = {}
        try:
            ended = self._database.read(lambda c: queries.ended_among(c, wanted))
        finally:
            with self._changed:
                self._querying = None
                self._queries += 1
                self._queried_at = time.monotonic()
                self._pause_s = min(self._pause_s * 1.5, LONGEST_PAUSE_S)
                self._ended |= {i: status for i, status in ended.items() if i in self._wanted}
                self._changed.notify_all()

    def _leave(self, saga_id: UUID) -> None:
        with self._changed:
            if self._querying == threading.get_ident():  # interrupted before it could query
                self._querying = None
                self._changed.notify_all()
            self._wanted[saga_id] -= 1
            if not self._wanted[saga_id]:
                del self._wanted[saga_id]
                self._ended.pop(saga_id, None)
