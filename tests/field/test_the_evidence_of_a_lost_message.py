"""What makes a queue say nothing about one message in it, or something false."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from celery import Celery
from celery.worker import state as worker_state
from kombu.entity import Queue
from sqlalchemy import select, update

from sagas import Saga, step
from sagas.decision import PATIENCE_LEASES, SagaState
from sagas.duties.extend import Extend
from sagas.duties.heartbeat import Heartbeat
from sagas.duties.in_flight import InFlight
from sagas.duties.lost_messages import LostMessages, Movement
from sagas.duties.sweep import Sweep
from sagas.events import Event
from sagas.record import tables as t
from sagas.record import workers
from sagas.runtime import queues
from sagas.runtime.app import Runtime
from sagas.runtime.messages import QUEUE, SENT_AT
from sagas.sql import before_now
from tests.support.pools import Pools
from tests.support.waiting import wait_until

LATE = 9


@step(name="field.evidence.soon", read_only=True)
def soon(order: str) -> None:
    """Run it."""


@step(name="field.evidence.late", read_only=True, priority=LATE)
def late(order: str) -> None:
    """Run it after everything else."""


soon_saga = Saga("field.evidence.soon-saga", input=str, steps=[soon])
late_saga = Saga("field.evidence.late-saga", input=str, steps=[late])


@dataclass(eq=False)
class Request:
    """A message as a worker receives it; compared by identity, as Celery's are."""

    request_dict: dict[str, Any]
    app: Celery
    args: tuple[Any, ...] = (str(uuid.uuid4()), "soon", 1)
    acknowledged: bool = False
    delivery_info: dict[str, Any] = field(default_factory=dict)


def peeked(runtime: Runtime, saga_id: Any, *, waited_s: float) -> SagaState:
    """Return a saga as it will be in a while."""
    saga = runtime.store.peek(saga_id)
    assert saga
    return replace(saga, now=saga.now + timedelta(seconds=waited_s))


def judged(runtime: Runtime, seen: dict[str, float], **known: Any) -> LostMessages:
    return LostMessages(runtime.messages, seen, margin_s=1, **known)


@pytest.fixture
def backlog(field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every queue have messages."""
    monkeypatch.setattr(
        field_runtime.messages, "backlog", lambda found: {queue.name: 7 for queue in found}
    )


@pytest.mark.usefixtures("backlog")
@pytest.mark.parametrize(("priority", "passed"), [(None, False), (0, False), (LATE, True)])
def test_a_message_is_not_lost_because_messages_of_another_priority_overtake_it(
    priority: int | None, *, passed: bool, field_runtime: Runtime
) -> None:
    saga = peeked(field_runtime, late_saga.start("L-1", key="L-1").id, waited_s=60)
    in_flight = InFlight()
    assert saga.sent_at
    headers = {SENT_AT: saga.sent_at.timestamp() + 30, QUEUE: "celery"}
    info = {"priority": priority}
    in_flight.note_received(Request(headers, field_runtime.app, delivery_info=info))
    evidence = judged(field_runtime, in_flight.seen)
    assert evidence.is_lost(saga) is passed


@pytest.mark.parametrize(
    "settings",
    [
        {"task_default_priority": 4},
        {"task_routes": {"field.evidence.soon": {"queue": "celery", "priority": 4}}},
    ],
    ids=str,
)
def test_the_priority_of_a_message_is_known_wherever_it_comes_from(
    settings: dict[str, Any], field_runtime: Runtime
) -> None:
    field_runtime.app.conf.update(settings)
    handle = soon_saga.start("P-1", key="P-1")
    with field_runtime.app.connection_for_read() as broker, broker.SimpleQueue("celery") as queue:
        message = queue.get(timeout=1)
        message.ack()
    lane = field_runtime.messages.lane_of(peeked(field_runtime, handle.id, waited_s=0))
    assert lane
    assert lane.priority == message.properties["priority"] == 4


def shard(_: str, args: Any, *__: Any, **___: Any) -> dict[str, str]:
    """Route a message by its first argument."""
    return {"queue": f"shard-{uuid.UUID(args[0]).int % 3}"}


def test_the_queue_that_a_sharding_router_chose_is_found_again(field_runtime: Runtime) -> None:
    field_runtime.app.conf.task_routes = [shard]
    handles = [soon_saga.start(f"S-{n}", key=f"S-{n}") for n in range(6)]
    expected = dict.fromkeys([f"shard-{n}" for n in range(3)], 0)
    for handle in handles:
        lane = field_runtime.messages.lane_of(peeked(field_runtime, handle.id, waited_s=0))
        assert lane
        expected[lane.queue.name] += 1
    with field_runtime.app.connection_for_read() as broker:
        found = {name: Queue(name)(broker.default_channel).purge() for name in expected}
    assert found == expected


def test_a_router_that_chooses_at_random_proves_nothing(
    field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_runtime.messages, "backlog", lambda found: {q.name: 0 for q in found})
    turns = count()
    field_runtime.app.conf.task_routes = [lambda *_, **__: {"queue": f"q-{next(turns) % 3}"}]
    saga = peeked(field_runtime, soon_saga.start("R-1", key="R-1").id, waited_s=60)
    assert not judged(field_runtime, {}).is_lost(saga)
    assert judged(field_runtime, {}).evidence(saga).silent


def test_the_header_names_the_queue_that_a_random_router_chose(field_runtime: Runtime) -> None:
    turns = count()
    field_runtime.app.conf.task_routes = [lambda *_, **__: {"queue": f"q-{next(turns) % 3}"}]
    soon_saga.start("R-1", key="R-1")
    with field_runtime.app.connection_for_read() as broker:
        arrived = [
            message.headers[QUEUE] == name
            for name in ("q-0", "q-1", "q-2")
            if (message := Queue(name)(broker.default_channel).get(no_ack=True))
        ]
    assert arrived == [True]


@pytest.fixture
def check(field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return the sweep of a worker, so much later."""
    monkeypatch.setattr(queues, "EXACT", (*queues.EXACT, "memory"))
    field_runtime.enter_worker("one@here")
    in_flight = InFlight()
    Heartbeat(field_runtime, in_flight).heartbeat_once()
    sweep = Sweep(field_runtime, in_flight)

    def check_later(leases: float) -> None:
        ago = before_now(leases * field_runtime.settings.saga_lease_s)
        values = {"due_at": ago, "sent_at": ago}
        field_runtime.database.write(lambda c: c.execute(update(t.saga).values(values)))
        assert sweep.sweep_once() == 1

    return check_later


@pytest.mark.usefixtures("backlog")
def test_a_message_lost_from_a_queue_that_other_tasks_keep_full_is_found(
    check: Callable[..., None], field_runtime: Runtime
) -> None:
    handle = soon_saga.start("F-1", key="F-1")
    with field_runtime.app.connection_for_write() as broker:
        assert Queue("celery")(broker.default_channel).purge() == 1
        check(PATIENCE_LEASES - 0.5)
        assert Queue("celery")(broker.default_channel).purge() == 0
        check(PATIENCE_LEASES)
        assert Queue("celery")(broker.default_channel).purge() == 1
        check(PATIENCE_LEASES)  # patience has doubled
        assert Queue("celery")(broker.default_channel).purge() == 0
    assert handle.describe().epoch == 1
    assert [entry.event for entry in handle.history()] == [Event.STARTED, Event.SENT_ONCE_MORE]
    assert field_runtime.database.read(lambda c: c.execute(select(t.alert)).all()) == []


def test_a_message_that_its_queue_approaches_is_not_copied(field_runtime: Runtime) -> None:
    saga = peeked(field_runtime, soon_saga.start("A-1", key="A-1").id, waited_s=60)
    assert saga.sent_at
    before, after = saga.sent_at.timestamp() - 9, saga.sent_at.timestamp() + 9

    def silent(seen: dict[str, float], *, within_s: float = 60, **known: Any) -> bool:
        movement = Movement(within_s)
        return judged(field_runtime, seen, movement=movement, **known).evidence(saga).silent

    assert not silent({"celery": before})
    assert silent({"celery": after})
    assert silent({"celery": before}, within_s=0)
    assert silent({"celery": before}, withheld=["celery"])
    assert silent({})


def test_a_message_held_behind_a_step_that_hangs_is_vouched_for_only_a_while(
    field_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = soon_saga.start("H-1", key="H-1")
    in_flight = InFlight()
    args = (str(handle.id), "soon", 1)
    request = Request({SENT_AT: 1.0, QUEUE: "celery"}, field_runtime.app, args=args)
    in_flight.note_received(request)
    assert in_flight.unstarted(within_s=60, held_s=60) == {(handle.id, 1)}
    assert in_flight.withheld(held_s=60) == set()
    assert in_flight.unstarted(within_s=60, held_s=0) == set()
    assert in_flight.withheld(held_s=0) == {"celery"}
    field_runtime.enter_worker("one@here")
    monkeypatch.setattr("sagas.duties.heartbeat.PATIENCE_LEASES", 1)
    Heartbeat(field_runtime, in_flight).heartbeat_once()
    found = field_runtime.database.read(lambda c: workers.withheld_queues(c, 60))
    saga = peeked(field_runtime, handle.id, waited_s=60)
    monkeypatch.setattr(field_runtime.messages, "backlog", lambda _: {"celery": 0})
    assert judged(field_runtime, {}).is_lost(saga)
    assert not judged(field_runtime, {}, withheld=found).is_lost(saga)
    monkeypatch.setattr("sagas.duties.extend.PATIENCE_LEASES", 0)
    long_due = update(t.saga).values(due_at=before_now(1))
    field_runtime.database.write(lambda c: c.execute(long_due))
    Extend(field_runtime, in_flight).extend_once()
    assert Sweep(field_runtime, in_flight).sweep_once() == 1
    request.acknowledged = True
    assert in_flight.withheld(held_s=0) == set()


@pytest.mark.parametrize("starts", [True, False])
def test_a_worker_that_starts_other_messages_is_given_time_for_those_it_holds(
    starts: bool,  # noqa: FBT001
    field_runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = Counter(there=1)
    monkeypatch.setattr(worker_state, "total_count", started)
    clock = [1_000.0]
    monkeypatch.setattr("sagas.duties.in_flight.time.monotonic", lambda: clock[0])
    handle = soon_saga.start("B-1", key="B-1")
    in_flight = InFlight()
    args = (str(handle.id), "soon", 1)
    request = Request({SENT_AT: 1.0, QUEUE: "celery"}, field_runtime.app, args=args)
    in_flight.note_received(request)  # which the worker keeps
    held: list[bool] = []
    for _ in range(60):
        clock[0] += 5
        started["there"] += starts
        held.append(in_flight.unstarted(within_s=60, held_s=30) == {(handle.id, 1)})
        assert (in_flight.withheld(held_s=30) == set()) is held[-1]
    longest = 300 if starts else 30
    assert held.count(True) == pytest.approx(longest / 5, abs=2)
    assert held == sorted(held, reverse=True)


@pytest.fixture
def hanging(pools: Pools) -> Iterator[Pools]:
    """Let a worker's only process hang, with the messages of four sagas in its hands."""
    quick = replace(pools, env={**pools.env, "POOLS_LEASE_S": "0.5"})
    options = ("-c", "1", "--prefetch-multiplier", "8")
    quick.start("ends", hangs={"how": "hangs until it may go"})
    with quick.worker("prefork", *options, name="hanging") as worker:
        wait_until(lambda: quick.effects("hangs") == ["began"], what="it hangs")
        quick.start("ends", **{f"behind-{n}": {} for n in range(4)})
        wait_until(lambda: worker.log.read_text().count(" received") == 5, what="it has them")
        yield quick
        (quick.directory / "go").touch()


def test_an_idle_worker_takes_what_another_holds_behind_a_step_that_hangs(hanging: Pools) -> None:
    behind = [f"behind-{n}" for n in range(4)]
    with hanging.worker("prefork", name="idle"):
        hanging.wait_until_ended(*behind)
        (hanging.directory / "go").touch()
        hanging.wait_until_ended("hangs")
    for key in behind:
        assert hanging.effects(key) == ["began"]
        assert Event.BLOCKED not in [entry.event for entry in hanging.history(key)]
