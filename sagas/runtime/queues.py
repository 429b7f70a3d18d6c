"""Queues: where a call is routed to, and what the broker can truly tell about its queues."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.app.routes import MapRoute
from kombu.entity import Exchange, Queue

from sagas.errors import ConfigurationError

__all__ = [
    "Lane",
    "consumed_here",
    "has_route",
    "is_routed_by_function",
    "knows_lengths",
    "lane_name",
    "lanes",
    "lengths",
    "routed_queue",
]

logger = logging.getLogger(__name__)

#: Transports (kombu's ``driver_type``) that report exactly how many messages wait in a queue. The
#: others answer 0 (Kafka), an estimate (SQS), or what this process alone has seen (memory).
EXACT = ("amqp", "redis")

_NOT_FOUND = "404"

#: The highest priority that a transport has.
_HIGHEST = 255


@dataclass(frozen=True, slots=True)
class Lane:
    """The messages of one priority in one queue; they arrive in the order in which they were sent.

    Those of another priority may overtake them, and say nothing about them.
    """

    queue: Queue
    priority: int | None = None

    @property
    def name(self) -> str:
        """Its name in the record."""
        return lane_name(self.queue.name, self.priority)


def lane_name(queue: str, priority: object) -> str:
    """Return the name of a queue's messages of this priority; what is none counts as 0."""
    given = isinstance(priority, int) and 0 < priority <= _HIGHEST
    return f"{queue} (priority {int(priority)})" if given else queue  # type: ignore[call-overload]


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


def consumed_here(app: Celery) -> tuple[str, ...]:
    """Return the queues that a worker in this process consumes: all, or those of its ``-Q``."""
    return tuple(app.amqp.queues.consume_from)


def has_route(app: Celery, task: str, args: Sequence[Any]) -> bool:
    """Tell whether the application routes this message by ``task_routes``."""
    return bool(app.amqp.router.lookup_route(task, args, {}, {}))


def is_routed_by_function(app: Celery) -> bool:
    """Tell whether ``task_routes`` has a function, which may choose another queue each time."""
    return any(not isinstance(router, MapRoute) for router in app.amqp.router.routes)


def routed_queue(app: Celery, task: str, queue: str | None, args: Sequence[Any] = ()) -> Queue:
    """Return the queue to which Celery routes a message: *queue* if given, or by ``task_routes``.

    Raises:
        celery.exceptions.QueueNotFound: the route names a queue that this app does not have.
        ConfigurationError: the route names an exchange and a routing key, which lead to no queue of
            this app or to several.
    """
    return _queue(app, task, _route(app, task, queue, args))


def lanes(
    app: Celery, task: str, queue: str | None, priority: int | None, args: Sequence[Any]
) -> Iterator[Lane]:
    """Route a message again and again; yield its lane each time.

    *queue* and *priority* are those of its plan, if it has any. Raises as ``routed_queue``.
    """
    while True:
        route = _route(app, task, queue, args)
        known = (priority, app.conf.task_default_priority, route.get("priority"))
        chosen = next((value for value in known if value is not None), None)
        yield Lane(_queue(app, task, route), chosen)


def _route(app: Celery, task: str, queue: str | None, args: Sequence[Any]) -> Mapping[str, Any]:
    route: Mapping[str, Any] = app.amqp.router.route({"queue": queue} if queue else {}, task, args)
    return route


def _queue(app: Celery, task: str, route: Mapping[str, Any]) -> Queue:
    found: Queue | None = route.get("queue")
    if found is not None:
        return found
    exchange, key = _address(app, route)
    queues: list[Queue] = list(app.amqp.queues.values())
    bound = [queue for queue in queues if _receives(queue, exchange, key)]
    if len(bound) == 1:
        return bound[0]
    names = ", ".join(sorted(queue.name for queue in bound))
    raise ConfigurationError(
        f"The route of task {task} names exchange {exchange!r} and routing key {key!r}, "
        f"{f'which lead to several queues ({names})' if bound else 'which lead to no queue'} of "
        "task_queues. Declare one queue with that binding, or give the route or the step queue=…"
    )


def _address(app: Celery, route: Mapping[str, Any]) -> tuple[str, str]:
    """Return the exchange and the routing key of a route without a queue, as Celery fills them."""
    default: Queue = app.amqp.default_queue
    exchange = route.get("exchange") or default.exchange
    name = exchange.name if isinstance(exchange, Exchange) else exchange
    return name, route.get("routing_key") or default.routing_key


def _receives(queue: Queue, exchange: str, key: str) -> bool:
    return any(
        source.name == exchange and _matches(source.type, pattern or "", key)
        for source, pattern in _bindings(queue)
    )


def _bindings(queue: Queue) -> Iterator[tuple[Exchange, str | None]]:
    if queue.exchange is not None:
        yield queue.exchange, queue.routing_key
    for binding in queue.bindings:
        yield binding.exchange, binding.routing_key


def _matches(kind: str, pattern: str, key: str) -> bool:
    match kind:
        case "fanout":
            return True
        case "topic":
            words = re.escape(pattern).replace(r"\*", "[^.]+")
            words = words.replace(r"\.\#", r"(\..+)?").replace(r"\#\.", r"(.+\.)?")
            return re.fullmatch(words.replace(r"\#", ".*"), key) is not None
        case _:
            return pattern == key
