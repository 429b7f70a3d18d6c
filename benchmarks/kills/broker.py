"""A private broker that can be emptied, or restarted without its messages."""

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import redis
from celery import Celery

from sagas.dev import EmbeddedBroker

__all__ = ["Broker", "Depth"]


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages are queued, and how many are delivered but not acknowledged."""

    ready: int
    unacknowledged: int

    @property
    def empty(self) -> bool:
        """Whether there are no messages at all."""
        return not self.ready and not self.unacknowledged


class Broker:
    """The server of one run, which lives as long as the block."""

    def __init__(self) -> None:
        self._server = EmbeddedBroker()
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """The address, which survives restarts."""
        return self._server.url

    def __enter__(self) -> Self:
        """Run the server."""
        self.run()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def run(self) -> None:
        """Start the server, empty, and wait until it answers."""
        self._running.enter_context(self._server.running())

    def stop(self) -> None:
        """Kill the server and lose everything in it."""
        self._running.close()

    def flush(self) -> None:
        """Remove everything while the server keeps running."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def depth(self, app: Celery) -> Depth:
        """Count the messages."""
        with redis.Redis.from_url(self.url) as client:
            ready: int = client.llen(app.conf.task_default_queue)
            unacknowledged: int = client.hlen("unacked")
            return Depth(ready, unacknowledged)

    def restore(self, app: Celery) -> None:
        """Requeue the messages that were not acknowledged within the visibility timeout.

        Every worker does so when it starts and then about every hundred seconds; this spares the
        wait.
        """
        with app.connection_for_write() as connection:
            connection.default_channel.qos.restore_visible(num=1000, interval=1)
