"""What this worker has in its hands: messages received and waiting, tasks running."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard
from uuid import UUID
from weakref import WeakSet

from celery import Celery
from celery.worker import state as worker_state

from sagas.runtime.messages import QUEUE, SENT_AT, Link

__all__ = ["Hand"]

#: No clock is this far ahead; and one that is ahead by less is believed for a while only.
_DAY_S = 86_400.0
_FORGERY_S = 60.0


class Hand:
    """Seen from the worker's main process, which receives every message before its pool does."""

    def __init__(self) -> None:
        self._received: WeakSet[Any] = WeakSet()
        #: How far each queue has visibly moved: by its name, when its newest message was sent.
        self.seen: dict[str, float] = {}

    def note_received(self, request: Any) -> None:
        """Remember a message that was just received, if it is a step of a saga."""
        headers = request.request_dict
        if _is_moment(headers.get(SENT_AT)) and Link.read(request.args) is not None:
            self.note_moved(request.app, headers)
            self._received.add(request)

    def note_moved(self, app: Celery, headers: Mapping[str, Any]) -> None:
        """Remember how far its queue has moved with a message."""
        queue, sent_at = headers.get(QUEUE), headers.get(SENT_AT)
        if not isinstance(queue, str) or not _is_moment(sent_at):
            return
        # Anybody may name others, as many as they like, and each would go into the record.
        if queue not in tuple(app.amqp.queues.consume_from):
            return
        newest = self.seen.get(queue, 0.0)
        if newest > time.time() + _FORGERY_S:  # the next message puts it right
            newest = 0.0
        self.seen[queue] = max(newest, float(sent_at))

    def waiting(self, *, within_s: float) -> set[tuple[UUID, int]]:
        """Return saga and epoch of the messages here: prefetched, delayed or rate-limited.

        One that is to run more than *within_s* seconds from now is none of the engine's own.
        """
        latest = datetime.now(UTC) + timedelta(seconds=within_s)
        # Acknowledged is what a pool process has taken up; from there on the record tells.
        waiting = (
            request
            for request in _all(self._received)
            if not request.acknowledged and _is_due(request.request_dict.get("eta"), latest)
        )
        links = (Link.read(request.args) for request in waiting)
        return {(link.saga_id, link.epoch) for link in links if link is not None}

    def task_ids(self) -> set[str]:
        """Return the ids of the Celery tasks that this worker has begun or is about to begin."""
        return {request.id for request in _all(worker_state.reserved_requests)}


def _is_moment(value: Any) -> TypeGuard[float]:
    """Tell whether the engine may have written this: anybody who can send may forge it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < time.time() + _DAY_S


def _is_due(eta: Any, latest: datetime) -> bool:
    try:
        return eta is None or datetime.fromisoformat(eta) <= latest
    except (TypeError, ValueError):  # as the engine's own messages never have it
        return False


def _all(requests: Iterable[Any]) -> tuple[Any, ...]:
    while True:
        try:
            return tuple(requests)
        except RuntimeError:  # the main thread changed the set meanwhile
            time.sleep(0.001)
