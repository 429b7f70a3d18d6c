"""Is a message lost, or does it only wait? The queue is the evidence, never the message's age."""

import time
from collections.abc import Collection, Mapping
from datetime import timedelta

from sagas.decision import Evidence, SagaState
from sagas.runtime.messages import Messages
from sagas.runtime.queues import Lane

__all__ = ["LostMessages", "Movement"]


class Movement:
    """How far each lane has moved, and when it last did, as the sweeps of one worker see it."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._moved: dict[str, tuple[float, float]] = {}

    def note(self, seen: Mapping[str, float]) -> None:
        """Note the time that each lane has moved to by now."""
        now = time.monotonic()
        for lane, moved_to in seen.items():
            if lane not in self._moved or self._moved[lane][0] != moved_to:
                self._moved[lane] = (moved_to, now)
        for lane in self._moved.keys() - seen.keys():
            del self._moved[lane]

    def moves(self, lane: str) -> bool:
        """Tell whether the lane has moved a short time ago."""
        _, at = self._moved.get(lane, (0.0, None))
        return at is not None and time.monotonic() - at < self._within_s


class LostMessages:
    """What is known about the queues during one sweep; the broker is asked once for each queue.

    *seen* maps each lane to the time it has moved to; *consumed* are the queues that living workers
    consume, empty where that is not known; *withheld* are those of which a worker holds messages
    that it has not started for a long time.
    """

    def __init__(
        self,
        messages: Messages,
        seen: Mapping[str, float],
        *,
        margin_s: float,
        consumed: Collection[str] = (),
        withheld: Collection[str] = (),
        movement: Movement | None = None,
    ) -> None:
        self._messages = messages
        self._consumed = consumed
        self._withheld = withheld
        self._seen = seen
        self._movement = movement
        self._margin = timedelta(seconds=margin_s)
        self._lengths: dict[str, int | None] = {}
        if movement is not None:
            movement.note(seen)

    def is_lost(self, saga: SagaState) -> bool:
        """Tell whether the message that the saga waits for cannot arrive any more.

        It is lost if its queue is empty, or has visibly moved past it: a message of the same
        priority that was sent later has been received. No living worker has it, for they extend the
        sagas whose messages they have received; where one has ceased to, after a long time, nothing
        is known. Three things prove nothing: a broker that does not answer, a transport that cannot
        tell the length of its queues, and a router that chooses a queue at random.

        Raises:
            celery.exceptions.QueueNotFound: its route leads to a queue that this app does not have.
        """
        lane = self._messages.lane_of(saga)
        if lane is None or saga.sent_at is None or lane.queue.name in self._withheld:
            return False
        if lane.queue.name not in self._lengths:
            self._lengths |= self._messages.backlog([lane.queue])
        length = self._lengths[lane.queue.name]
        if length is None:
            return False
        return length == 0 or self._has_passed(saga, lane)

    def evidence(self, saga: SagaState) -> Evidence:
        """Return what else is known about the message that the saga waits for; raises likewise."""
        if saga.sent_at is None:
            return Evidence()
        if (lane := self._messages.lane_of(saga)) is None:
            return Evidence(silent=True)
        queue = lane.queue.name
        unserved = bool(self._consumed) and queue not in self._consumed
        return Evidence(
            unconsumed=queue if unserved else None,
            silent=queue in self._withheld or not self._approaches(saga, lane),
        )

    def _approaches(self, saga: SagaState, lane: Lane) -> bool:
        """Tell whether messages that were sent before it are received: then its turn will come."""
        if self._movement is None or not self._movement.moves(lane.name):
            return False
        return not self._has_passed(saga, lane)

    def _has_passed(self, saga: SagaState, lane: Lane) -> bool:
        moved_to = self._seen.get(lane.name, 0.0)
        if moved_to > (saga.now + self._margin).timestamp():
            moved_to = 0.0  # no message comes from the future: the time was forged
        return saga.sent_at is not None and moved_to > (saga.sent_at + self._margin).timestamp()
