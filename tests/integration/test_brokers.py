"""How each kind of broker publishes messages and reports its queues."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, signals
from kombu.entity import Exchange, Queue

from sagas.duties.in_flight import InFlight
from sagas.duties.lost_messages import LostMessages
from sagas.runtime.app import runtime_of
from sagas.runtime.messages import SENT_AT, Messages
from tests.support.brokers import Broker
from tests.support.proxy import Door, door
from tests.support.shop import Order, order_saga
from tests.support.waiting import HANG_S, wait_until


@pytest.fixture
def way(broker: Broker) -> Iterator[Door]:
    """Return the door to the broker."""
    with door(broker.url) as made:
        yield made


@pytest.fixture
def messages(way: Door, broker: Broker, app: Celery) -> Iterator[Messages]:
    """Return the app's publisher, which goes through the door."""
    app.conf.update(broker_url=way.url, task_default_queue=broker.queue)
    app.conf.broker_transport_options = {"confirm_publish": True}
    yield runtime_of(app).messages
    app.pool.force_close_all()


def start() -> None:
    """Start a saga."""
    order_saga.start(Order(), key=uuid.uuid4().hex)


def length(messages: Messages, broker: Broker) -> int | None:
    return messages.backlog([Queue(broker.queue)])[broker.queue]


def test_a_queue_is_as_long_as_its_messages_and_a_missing_queue_is_empty(
    messages: Messages, broker: Broker
) -> None:
    nowhere = Queue(f"nowhere-{broker.queue}")
    assert messages.backlog([nowhere, Queue(broker.queue)]) == {nowhere.name: 0, broker.queue: 0}
    start()
    start()
    wait_until(lambda: length(messages, broker) == 2, what="both are there")
    assert messages.backlog([nowhere, Queue(broker.queue), nowhere])[broker.queue] == 2


def test_a_start_succeeds_after_the_broker_was_restarted(
    messages: Messages, broker: Broker, way: Door
) -> None:
    start()
    way.slam()
    start()
    wait_until(lambda: length(messages, broker) == 2, what="the second is there as well")


def test_a_start_does_not_wait_for_a_broker_that_is_down(
    messages: Messages, broker: Broker, way: Door, caplog: pytest.LogCaptureFixture
) -> None:
    start()
    way.is_open = False
    way.slam()
    start()
    assert way.turned_away < 5, "it is asked once, and once more, each time by a connection or two"
    assert "the broker did not accept the next message" in caplog.text
    assert length(messages, broker) is None
    way.is_open = True

    def is_used() -> bool:
        start()
        return (length(messages, broker) or 0) > 1

    wait_until(is_used, what="it is used again")


@dataclass(eq=False)
class Request:
    """What Celery makes of a message that a worker receives."""

    request_dict: dict[str, Any]
    args: list[Any]
    app: Celery
    delivery_info: dict[str, Any]


def received(app: Celery, queue: Queue) -> Request:
    """Return the next message of a queue as a worker receives it."""
    with app.connection_for_read() as connection, connection.SimpleQueue(queue) as source:
        message = source.get(timeout=HANG_S)
        message.ack()
        return Request(message.headers, message.payload[0], app, message.properties)


def test_the_messages_of_every_app_of_a_process_are_stamped(app: Celery) -> None:
    settings = runtime_of(app).settings
    names = ("earlier", "later")
    made = [Messages(Celery(name, set_as_current=False), settings) for name in names]
    ahead = datetime.now(UTC) + timedelta(hours=1)
    made[-1].note_clock(ahead)
    headers = {SENT_AT: 0.0}
    signals.before_task_publish.send(sender="shop.reserve", headers=headers)
    assert headers[SENT_AT] >= ahead.timestamp()


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_the_progress_of_a_queue_is_seen_whatever_its_routing_key(
    kind: str, messages: Messages, broker: Broker, app: Celery
) -> None:
    # Queues without a routing key all get the default one.
    queue = Queue(broker.queue, Exchange(broker.queue, type=kind), routing_key="shared")
    app.conf.task_queues = [queue]
    order_saga.start(Order(), key="ORD-1")
    hand = InFlight()
    hand.note_received(received(app, queue))
    assert set(hand.seen) == {broker.queue}
    waits = runtime_of(app).store.peek(order_saga.start(Order(), key="ORD-2").id)
    assert waits
    wait_until(lambda: length(messages, broker) == 1, what="the other one waits")
    assert not LostMessages(messages, hand.seen, margin_s=0).is_lost(waits)
    later = {name: moment + 3600 for name, moment in hand.seen.items()}
    assert not LostMessages(messages, later, margin_s=0).is_lost(waits), (
        "no message is from the future"
    )
    an_hour_on = replace(waits, now=waits.now + timedelta(seconds=3601))
    assert LostMessages(messages, later, margin_s=0).is_lost(an_hour_on)


def test_queues_that_share_a_routing_key_are_told_apart(messages: Messages, broker: Broker) -> None:
    start()
    queues = [Queue(name, routing_key="shared") for name in ("nowhere", broker.queue)]
    wait_until(lambda: messages.backlog(queues) == {"nowhere": 0, broker.queue: 1})
