"""Waiting for sagas to end: everybody in a process who waits shares one question to the record."""

import threading
import time
from collections import Counter
from uuid import UUID

from sagas.record import queries
from sagas.record.database import Database
from sagas.states import SagaStatus

__all__ = ["Waiting"]

#: The record is asked this soon after the latest wait began, and ever more rarely from then on.
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25


class Waiting:
    """The sagas that somebody waits for; whoever finds that it is time asks for all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._wanted: Counter[UUID] = Counter()
        self._ended: dict[UUID, SagaStatus] = {}
        #: The thread whose turn it is to ask, if any.
        self._asker: int | None = None
        self._questions = 0
        self._pause_s = FIRST_PAUSE_S
        self._asked_at = 0.0

    def wait(self, saga_id: UUID, timeout_s: float) -> SagaStatus | None:
        """Return how the saga ended, or None where *timeout_s* seconds passed first.

        The record is asked at least once, whatever the timeout.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._wanted[saga_id] += 1
            self._pause_s = FIRST_PAUSE_S
            on_its_way = self._asker is not None
            first_question = self._questions + on_its_way + 1  # the first that asks for this one
        try:
            while self._my_turn(saga_id, deadline, first_question):
                self._ask()
            return self._ended.get(saga_id)
        finally:
            self._leave(saga_id)

    def _my_turn(self, saga_id: UUID, deadline: float, first_question: int) -> bool:
        """Wait until the record must be asked, which is True, or until there is nothing to ask."""
        with self._changed:
            while saga_id not in self._ended:
                now = time.monotonic()
                if now >= deadline and self._questions >= first_question:
                    return False
                next_at = self._asked_at + self._pause_s
                if self._asker is None and now >= next_at:
                    self._asker = threading.get_ident()
                    return True
                until = next_at if self._questions < first_question else min(next_at, deadline)
                self._changed.wait(max(until - now, 0.001))
            return False

    def _ask(self) -> None:
        wanted = tuple(self._wanted)
        ended: dict[UUID, SagaStatus] = {}
        try:
            ended = self._database.read(lambda c: queries.ended_among(c, wanted))
        finally:
            with self._changed:
                self._asker = None
                self._questions += 1
                self._asked_at = time.monotonic()
                self._pause_s = min(self._pause_s * 1.5, LONGEST_PAUSE_S)
                self._ended |= {i: status for i, status in ended.items() if i in self._wanted}
                self._changed.notify_all()

    def _leave(self, saga_id: UUID) -> None:
        with self._changed:
            if self._asker == threading.get_ident():  # interrupted before it could ask
                self._asker = None
                self._changed.notify_all()
            self._wanted[saga_id] -= 1
            if not self._wanted[saga_id]:
                del self._wanted[saga_id]
                self._ended.pop(saga_id, None)
