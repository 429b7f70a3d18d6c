"""What an application publishes, and whether its saga was already committed."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from sagas.record import tables as t

__all__ = ["Outbox", "Published"]


@dataclass(frozen=True)
class Published:
    """A message, and whether its saga was committed when it was published."""

    task: str
    saga_id: uuid.UUID
    committed: bool


@dataclass
class Outbox:
    """Every message that was published."""

    record: Engine
    messages: list[Published] = field(default_factory=list)

    def note(self, sender: str = "", body: Any = None, **_: Any) -> None:
        """Record a message, and read the saga over a separate connection."""
        saga_id = uuid.UUID(body[0][0])
        with self.record.connect() as connection:
            query = select(t.saga.c.id).where(t.saga.c.id == saga_id)
            committed = connection.scalar(query) == saga_id
        self.messages.append(Published(sender, saga_id, committed))

    def of(self, saga_id: uuid.UUID) -> list[str]:
        """Return the tasks of the messages published for a saga, all of them after its commit."""
        of_saga = [message for message in self.messages if message.saga_id == saga_id]
        assert all(message.committed for message in of_saga)
        return [message.task for message in of_saga]
