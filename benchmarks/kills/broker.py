"""A private broker that can be emptied, and stopped and run again without what it held."""

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
    """How many messages wait, and how many are delivered and not acknowledged."""

    ready: int
    unacknowledged: int

    @property
    def empty(self) -> bool:
        """Whether no message is anywhere."""
        return not self.ready and not self.unacknowledged


class Broker:
    """The server of one run, from the block's first line to its last."""

    def __init__(self) -> None:
        self._server = EmbeddedBroker()
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """The address, which stays the same over restarts."""
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
        """Run the server; it answers, and is empty."""
        self._running.enter_context(self._server.running())

    def stop(self) -> None:
        """Kill the server, and with it all that it holds."""
        self._running.close()

    def flush(self) -> None:
        """Remove everything, while the server runs on."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def depth(self, app: Celery) -> Depth:
        """Ask how many messages there are."""
        with redis.Redis.from_url(self.url) as client:
            ready: int = client.llen(app.conf.task_default_queue)
            unacknowledged: int = client.hlen("unacked")
            return Depth(ready, unacknowledged)

    def restore(self, app: Celery) -> None:
        """Bring back what was not acknowledged within the visibility timeout.

        Every worker does so by itself when it starts, and then about every hundred seconds; nobody
        has to wait that long for a verdict.
        """
        with app.connection_for_write() as connection:
            connection.default_channel.qos.restore_visible(num=1000, interval=1)
