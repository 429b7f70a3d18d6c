"""A saga's secret is where it is needed, and nowhere else."""

import base64
import json

import redis
from sqlalchemy import select

from sagas.record import tables as t
from sagas.states import SagaStatus
from tests.support.brokers import Broker, RedisBroker
from tests.support.waiting import wait_until
from tests.system.world import World

CANARY = "canary-4711-0815"


def test_a_secret_is_in_the_record_and_never_in_the_broker_logs_history_or_on_the_screen(
    world: World, broker: Broker
) -> None:
    world.start("stay", guest={"card": CANARY})
    if isinstance(broker, RedisBroker):
        assert CANARY not in _everything_in(broker)
    worker = world.worker("one")
    wait_until(lambda: world.saga("guest").status is SagaStatus.COMPENSATED)

    kept = world.record.read(lambda c: c.scalar(select(t.saga.c.input)))
    assert kept is not None
    assert CANARY in kept  # a retry needs it

    shown = world.operate("show", "guest") + world.operate("show", "guest", "--json")
    told = [world.saga("guest"), *world.steps("guest").values(), *world.history("guest")]
    without_outputs = [str(view).replace(f'{{"$secret":"{CANARY}-room-12"}}', "") for view in told]
    for text in (shown, worker.log.read_text(), *without_outputs):
        assert CANARY not in text
    assert "no breakfast for ********** in **********" in shown
    assert "no breakfast for ********** in **********" in worker.log.read_text()


def _everything_in(broker: RedisBroker) -> str:
    with redis.Redis.from_url(broker.url) as client:
        lists = [
            client.lrange(key, 0, -1) for key in client.scan_iter() if client.type(key) == b"list"
        ]
    # Message bodies are in base64.
    messages = [json.loads(raw) for raws in lists for raw in raws if raw.startswith(b'{"body"')]
    assert messages, "the message is there"
    return f"{lists} {[base64.b64decode(message['body']) for message in messages]}"
