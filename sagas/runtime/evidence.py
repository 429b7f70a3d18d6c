"""Is a message lost, or does it only wait? Judged by what the queue shows, never by age alone."""

from collections.abc import Mapping
from datetime import timedelta

from sagas.decision import SagaState, awaited
from sagas.runtime.messages import Messages

__all__ = ["Evidence"]


class Evidence:
    """What is known about the queues during one sweep; each queue is asked about once."""

    def __init__(self, messages: Messages, seen: Mapping[str, float], *, margin_s: float) -> None:
        self._messages = messages
        self._seen = seen
        self._margin = timedelta(seconds=margin_s)
        self._lengths: dict[str, int | None] = {}

    def lost(self, saga: SagaState) -> bool:
        """Tell whether the message that the saga waits for will not come any more.

        It will not where its queue is empty, or has visibly moved past it: a message that was sent
        later has been received. Living workers vouch for what they hold already, so it is in none
        of their hands. A broker that does not answer proves nothing.

        Raises:
            celery.exceptions.QueueNotFound: its route leads to a queue that this app does not have.
        """
        call = awaited(saga)
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
            moved_to = 0.0  # no message comes from the future: it was not one of ours
        return length == 0 or moved_to > (saga.sent_at + self._margin).timestamp()
