"""Celery's eager mode (``task_always_eager``), for tests: messages run where they are published."""

import threading
from collections import deque
from collections.abc import Callable
from uuid import UUID

__all__ = ["EagerRuns"]


class EagerRuns(threading.local):
    """The sagas that run in this thread, each one message after the other.

    A step publishes its successor while it runs itself. The successor waits until it has returned,
    so that a long saga needs no deep stack. But a saga that is started by a step of another runs to
    its end at once, because that step may wait for it.
    """

    def __init__(self) -> None:
        self._waiting: dict[UUID, deque[Callable[[], object]]] = {}

    def run(self, saga_id: UUID, message: Callable[[], object]) -> None:
        """Run a message of a saga, and what it publishes for that saga."""
        if saga_id in self._waiting:
            self._waiting[saga_id].append(message)
            return
        waiting = self._waiting[saga_id] = deque([message])
        try:
            while waiting:
                waiting.popleft()()
        finally:
            del self._waiting[saga_id]
