"""Is a message lost, or does it only wait? The queue is the evidence, never the message's age."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from sagas.decision import SagaState, awaited_call
from sagas.runtime.messages import Messages

__all__ = ["LostMessages"]


class LostMessages:
    """What is known about the queues during one sweep; the broker is asked once for each queue.

    *seen* maps each queue to the time it has moved to; *consumed* are the queues that living
    workers consume, empty where that is not known.
    """

    def __init__(
        self,
        messages: Messages,
        seen: Mapping[str, float],
        *,
        margin_s: float,
        consumed: Collection[str] = (),
    ) -> None:
        self._messages = messages
        self._consumed = consumed
        self._seen = seen
        self._margin = timedelta(seconds=margin_s)
        self._lengths: dict[str, int | None] = {}

    def is_lost(self, saga: SagaState) -> bool:
        """Tell whether the message that the saga waits for cannot arrive any more.

        It is lost if its queue is empty, or has visibly moved past it: a message that was sent
        later has been received. No living worker has it, for they extend the sagas whose messages
        they have received. A broker that does not answer proves nothing, and nor does a transport
        that does not know the length of its queues.

        Raises:
            celery.exceptions.QueueNotFound: its route leads to a queue that this app does not have.
        """
        call = awaited_call(saga)
        if call is None:
            return False
        queue = self._messages.queue_of(call)
        if saga.sent_at is None:
            return False
        if queue.name not in self._lengths:
            self._lengths |= self._messages.backlog([queue])
        length = self._lengths[queue.name]
        if length is None:
            return False
        moved_to = self._seen.get(queue.name, 0.0)
        if moved_to > (saga.now + self._margin).timestamp():
            moved_to = 0.0  # no message comes from the future: the time was forged
        return length == 0 or moved_to > (saga.sent_at + self._margin).timestamp()

    def unconsumed(self, saga: SagaState) -> str | None:
        """Return the queue of the message that the saga waits for if no living worker consumes it.

        Raises: as ``is_lost``.
        """
        call = awaited_call(saga)
        if call is None or saga.sent_at is None or not self._consumed:
            return None
        name = self._messages.queue_of(call).name
        return None if name in self._consumed else name
