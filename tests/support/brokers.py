"""The brokers that sagas run on in tests, each as a place for a single test."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import redis
from kombu.connection import Connection

__all__ = ["Broker", "RabbitBroker", "RedisBroker", "empty_rabbit", "real_rabbitmq_url"]


def real_rabbitmq_url() -> str | None:
    """Return the URL of a RabbitMQ that is already running, if the environment names one."""
    return os.environ.get("SAGAS_TEST_RABBITMQ_URL") or None


class Broker(Protocol):
    """Where an application sends its messages, all of them to one queue."""

    @property
    def url(self) -> str:
        """The address, in Celery's form."""

    @property
    def queue(self) -> str:
        """The name of the queue, which no other test uses."""

    def lose_everything(self) -> None:
        """Drop every message that no worker has received."""


@dataclass(frozen=True, slots=True)
class RedisBroker:
    """A Redis database that belongs to this test alone."""

    url: str
    queue: str = "celery"

    def lose_everything(self) -> None:
        """Empty the database."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()


@dataclass(frozen=True, slots=True)
class RabbitBroker:
    """A RabbitMQ queue; a separate virtual host would need an administrator."""

    url: str
    queue: str = field(default_factory=lambda: f"sagas_{uuid.uuid4().hex}")

    def lose_everything(self) -> None:
        """Purge the queue."""
        with Connection(self.url) as connection, connection.channel() as channel:
            channel.queue_purge(self.queue)

    def remove(self) -> None:
        """Delete the queue and the exchange that Celery declares with it."""
        with Connection(self.url) as connection, connection.channel() as channel:
            channel.queue_delete(self.queue)
            channel.exchange_delete(self.queue)


@contextmanager
def empty_rabbit(url: str) -> Iterator[RabbitBroker]:
    """Yield a queue that nobody else uses, and remove all traces of it afterwards."""
    broker = RabbitBroker(url)
    try:
        yield broker
    finally:
        broker.remove()
