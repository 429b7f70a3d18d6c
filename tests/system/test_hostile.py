"""An attacker can write to the broker, but cannot change the course of a saga."""

import json
import pickle
import uuid
from pathlib import Path
from typing import Any

from kombu.connection import Connection

from sagas.states import SagaStatus
from tests.support.brokers import Broker, RedisBroker
from tests.support.waiting import wait_until
from tests.system.world import World

FORGED_TIMES = [1e300, -5.0, "soon", None]
NO_NUMBERS = [float("nan"), float("inf")]  # which RabbitMQ itself does not accept


def test_hostile_messages_change_nothing_and_stop_nobody(world: World, broker: Broker) -> None:
    gate, pwned = world.directory / "gate", world.directory / "pwned"
    worker = world.worker("one")
    world.start(done={}, waits={"wait_for_file": str(gate)})
    wait_until(lambda: world.saga("done").status is SagaStatus.COMPLETED)
    wait_until(lambda: world.steps("waits")["hotel"].status == "RUNNING")
    before = (world.saga("done"), world.steps("done"), world.history("done"))
    done, waits = str(world.saga("done").id), str(world.saga("waits").id)

    with Connection(broker.url) as connection, connection.Producer() as producer:

        def send(task: str, args: Any, **headers: Any) -> None:
            body = json.dumps([args, {}, {"chain": None, "errbacks": None}])
            named = {"lang": "py", "task": task, "id": uuid.uuid4().hex, **headers}
            producer.publish(
                body,
                routing_key=broker.queue,
                content_type="application/json",
                content_encoding="utf-8",
                headers=named,
            )

        for args in _hostile(done, waits):
            for task in ("flight", "car", "flight.cancel", "sagas.turn_back"):
                send(task, args)
        on_redis = isinstance(broker, RedisBroker)
        for moment in [*FORGED_TIMES, *(NO_NUMBERS if on_redis else [])]:
            send("car", [waits, "car", 1], saga_sent_at=moment, saga_queue=broker.queue)
        # It would stay in the worker for an hour.
        send("car", [waits, "car", 10**30], eta="2099-01-01T00:00:00", saga_sent_at=1.0)
        for kind, body in _foreign(pwned):
            producer.publish(
                body, routing_key=broker.queue, content_type=kind, content_encoding="binary"
            )

    world.start(after={})
    wait_until(lambda: world.saga("after").status is SagaStatus.COMPLETED)
    gate.touch()
    world.wait_until_ended()
    assert (world.saga("done"), world.steps("done"), world.history("done")) == before
    assert world.saga("waits").status is SagaStatus.COMPLETED
    # A busy machine may make the worker's own signs of life late, and cost an attempt.
    lost = sum(entry.event == "taken over" for entry in world.history("waits"))
    assert sum(step.attempt - 1 for step in world.steps("waits").values()) == lost
    assert worker.starts == 1
    assert "The saga sweep failed" not in worker.log.read_text()
    assert not pwned.exists()


def _hostile(done: str, waits: str) -> list[Any]:
    return [
        [],
        ["no id", "flight", 1],
        [done, "flight", 1],
        [waits, "flight", 1],
        [waits, "car", 1],
        [waits, "car", 2],
        [waits, "car", -1],
        [waits, "car", True],
        [waits, "car", "1"],
        [waits, "car", 10**30],
        [waits, "\x00", 1],
        [waits, "'; DROP TABLE saga; --", 1],
        [waits, "x" * 100_000, 1],
        [str(uuid.uuid4()), "flight", 1],
        [{"a": 1}, ["b"], None],
        ["any task id", waits, 99],
    ]


class _Code:
    """The code that pickle would run: it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self._path), "w")


def _foreign(pwned: Path) -> list[tuple[str, bytes]]:
    return [
        ("application/x-python-serialize", pickle.dumps(_Code(pwned))),
        ("application/x-yaml", f"!!python/object/apply:os.system ['touch {pwned}']".encode()),
        ("application/json", b"\xff\xfe not JSON"),
        ("text/plain", b"hello"),
    ]
