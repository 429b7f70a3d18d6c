"""What this worker has in flight: messages received but not started, and tasks running."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard
from uuid import UUID
from weakref import WeakKeyDictionary

from celery import Celery
from celery.worker import state as worker_state

from sagas.decision import StepState
from sagas.runtime.messages import QUEUE, SENT_AT, Link
from sagas.runtime.queues import lane_name

__all__ = ["InFlight"]

#: A worker that starts messages is given this many times as long for those that it holds.
BUSY = 10

#: No clock is this far ahead; a smaller lead is trusted only for a while.
_DAY_S = 86_400.0
_FORGERY_S = 60.0


class InFlight:
    """The view of the worker's main process, which receives every message before its pool."""

    def __init__(self) -> None:
        #: When each message was received, by this process's clock.
        self._received: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        #: How far each lane has moved: its name, and when the newest message received was sent.
        self.seen: dict[str, float] = {}
        #: How many messages this worker has started, and when it last did.
        self._started = 0
        self._started_at = -math.inf

    def note_received(self, request: Any) -> None:
        """Remember a message that was just received if it is a step of a saga."""
        headers = request.request_dict
        if _is_moment(headers.get(SENT_AT)) and Link.read(request.args) is not None:
            self.note_moved(request.app, headers, request.delivery_info.get("priority"))
            self._received[request] = time.monotonic()

    def note_moved(self, app: Celery, headers: Mapping[str, Any], priority: object) -> None:
        """Remember how far its lane has moved with this message."""
        queue, sent_at = headers.get(QUEUE), headers.get(SENT_AT)
        if not isinstance(queue, str) or not _is_moment(sent_at):
            return
        # A forged header may name any other queue, and each would go into the record.
        if queue not in tuple(app.amqp.queues.consume_from):
            return
        lane = lane_name(queue, priority)
        newest = self.seen.get(lane, 0.0)
        if newest > time.time() + _FORGERY_S:  # the next message corrects it
            newest = 0.0
        self.seen[lane] = max(newest, float(sent_at))

    def unstarted(self, *, within_s: float, held_s: float) -> set[tuple[UUID, int]]:
        """Return saga and epoch of each message that is prefetched, delayed or rate-limited.

        Messages due later than *within_s* seconds from now are left out: the engine sends none.
        So are those that this worker has held for *held_s* seconds, or ten times as long while it
        starts others: a step that hangs may keep it from starting them for ever.
        """
        latest = datetime.now(UTC) + timedelta(seconds=within_s)
        since = self._since(held_s)
        unstarted = (
            request
            for request, at in self._unstarted()
            if at > since and _is_due(request.request_dict.get("eta"), latest)
        )
        links = (Link.read(request.args) for request in unstarted)
        return {(link.saga_id, link.epoch) for link in links if link is not None}

    def withheld(self, *, held_s: float) -> set[str]:
        """Return the queues of the messages that this worker has held for so long, unstarted."""
        since = self._since(held_s)
        held = [request for request, at in self._unstarted() if at <= since]
        # By what it consumes: a forged header may name any other queue.
        return {
            queue
            for request in held
            for queue in tuple(request.app.amqp.queues.consume_from)
            if queue == request.request_dict.get(QUEUE)
        }

    def _since(self, held_s: float) -> float:
        now, started = time.monotonic(), sum(worker_state.total_count.values())
        if started != self._started:
            self._started, self._started_at = started, now
        return now - held_s * (BUSY if now - self._started_at < held_s else 1)

    def _unstarted(self) -> Iterator[tuple[Any, float]]:
        for request in _all(self._received):
            at = self._received.get(request)
            # A pool process acknowledges a message when it starts it; from then on the record
            # knows.
            if at is not None and not request.acknowledged:
                yield request, at

    def runs_any(self) -> bool:
        """Tell whether a step runs that this worker has received."""
        active = _all(worker_state.active_requests)
        return any(request in active for request in _all(self._received))

    def attends(self, step: StepState, worker_id: UUID | None) -> bool:
        """Tell whether the attempt that holds a step counts as alive, as this worker sees it.

        This worker knows what it runs itself. Of the others, only an expired one is dead: after a
        gap, expiry gives every worker time to write.
        """
        if step.worker == worker_id:
            return step.task_id in self.task_ids()
        return step.attended

    def task_ids(self) -> set[str]:
        """Return the ids of the Celery tasks that this worker runs or is about to run."""
        return {request.id for request in _all(worker_state.reserved_requests)}


def _is_moment(value: Any) -> TypeGuard[float]:
    """Tell whether the engine can have written this: anybody with the broker can forge it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < time.time() + _DAY_S


def _is_due(eta: Any, latest: datetime) -> bool:
    try:
        return eta is None or datetime.fromisoformat(eta) <= latest
    except (TypeError, ValueError):  # the engine never writes such an eta
        return False


def _all(requests: Iterable[Any]) -> tuple[Any, ...]:
    while True:
        try:
            return tuple(requests)
        except RuntimeError:  # the main thread changed the set meanwhile
            time.sleep(0.001)
