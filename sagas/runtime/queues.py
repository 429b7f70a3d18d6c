"""Queues: where a call is routed to, and what the broker can truly tell about its queues."""

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.entity import Queue

__all__ = ["knows_lengths", "lengths"]

logger = logging.getLogger(__name__)

#: Transports (kombu's ``driver_type``) that report exactly how many messages wait in a queue. The
#: others answer 0 (Kafka), an estimate (SQS), or what this process alone has seen (memory).
EXACT = ("amqp", "redis")

_NOT_FOUND = "404"


def knows_lengths(app: Celery) -> bool:
    """Tell whether the app's transport reports the true length of a queue; connects to nothing."""
    with app.connection_for_write() as connection:
        return connection.get_transport_cls().driver_type in EXACT


def lengths(app: Celery, queues: Sequence[Queue]) -> dict[str, int | None]:
    """Ask the broker for the length of each queue, by name.

    None where it does not answer, and where its answers prove nothing.
    """
    unknown: dict[str, int | None] = {queue.name: None for queue in queues}
    try:
        with app.connection_for_write() as connection:
            if connection.get_transport_cls().driver_type not in EXACT:
                return unknown
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            return {queue.name: _length(connection, queue) for queue in queues}
    except Exception as error:  # noqa: BLE001 - transports have no common error
        logger.warning("The broker did not report the length of its queues (%s).", error)
        return unknown


def _length(connection: Any, queue: Queue) -> int:
    # A queue that does not exist has no messages. On AMQP asking for it closes the channel.
    with connection.channel() as channel:
        try:
            length: int = channel.queue_declare(queue.name, passive=True).message_count
        except connection.channel_errors as error:
            # One that is locked, or that this user may not see, is not empty for that reason.
            if str(getattr(error, "reply_code", None)) != _NOT_FOUND:
                raise
            return 0
        return length
