"""Messages that are lost, duplicated, reordered and resent much later."""

from datetime import datetime
from typing import NamedTuple

from sagas.decision import Dispatch
from sagas.states import Operation

__all__ = ["Broker", "Message"]


class Message(NamedTuple):
    """The head of a chain and the rest of it; an errback has no steps."""

    operation: Operation
    steps: tuple[str, ...]
    epoch: int
    not_before: datetime


class Broker:
    """A queue and every message that was ever in it."""

    def __init__(self, segment: int) -> None:
        self.queue: list[Message] = []
        self.sent: list[Message] = []
        self._segment = segment

    def publish(self, dispatch: Dispatch, epoch: int, not_before: datetime) -> None:
        """Send a chain, or its first piece."""
        steps = dispatch.steps[: self._segment]
        self.send(Message(dispatch.operation, steps, epoch, not_before))

    def send(self, message: Message) -> None:
        """Send one message."""
        self.queue.append(message)
        self.sent.append(message)

    def holds(self, epoch: int) -> bool:
        """Tell whether a message of that epoch is on its way to a step."""
        return any(message.epoch == epoch and message.steps for message in self.queue)
