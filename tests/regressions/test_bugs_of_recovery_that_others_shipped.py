"""Recovery bugs that other engines shipped, each under its own name."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from sqlalchemy import NullPool, create_engine, make_url, text, update
from sqlalchemy.exc import OperationalError

from sagas.decision import (
    Decision,
    Fenced,
    SagaState,
    Succeeded,
    Timing,
    conclude,
)
from sagas.duties.in_flight import InFlight
from sagas.duties.lost_messages import LostMessages
from sagas.duties.sweep import Sweep
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record import workers
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.sql import after_now
from sagas.states import Operation, SagaStatus
from tests.support.driver import Driver
from tests.support.records import (
    claims,
    concludes,
    events,
    insert_due,
    let_it_be_due,
    move,
    saga_row,
    started,
    step_row,
)
from tests.support.shop import Order, order_saga
from tests.support.states import planned
from tests.support.waiting import HANG_S, wait_until

UNDO = Operation.COMPENSATION


# Rescues.


def test_a_rescue_does_not_overwrite_a_finished_job(
    store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rescue was decided on while the job ran, and arrives after the job has ended."""
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    claims(store, saga_id, "hotel", worker=uuid7())  # one that nobody has ever heard of
    finished: list[Any] = []

    def finishes(*_: object) -> bool:
        concludes(store, saga_id, "hotel", Succeeded('"room 12"'))
        finished.append((saga_row(store.database, saga_id), events(store.database, saga_id)))
        return True

    let_it_be_due(store)
    monkeypatch.setattr(LostMessages, "is_lost", finishes)
    assert Sweep(runtime, InFlight()).sweep_once() == 1
    assert finished[0][0].status == SagaStatus.COMPLETED
    assert (saga_row(store.database, saga_id), events(store.database, saga_id)) == finished[0]


def test_recovery_does_not_adopt_a_saga_that_has_just_started(
    runtime: Runtime, store: Store
) -> None:
    runtime.app.conf.saga_lease_s = 3600.0
    handle = order_saga.start(Order(), key="ORD-1")
    before = saga_row(store.database, handle.id)
    assert Sweep(runtime, InFlight()).sweep_once() == 0
    assert saga_row(store.database, handle.id) == before


def test_recovery_does_not_take_over_from_a_worker_that_an_outage_has_silenced(
    runtime: Runtime, store: Store
) -> None:
    """Nobody could write a heartbeat, and the sweep recovers before this worker's next one."""
    saga_id = started(store)
    worker_id = uuid7()
    beat(store, worker_id)
    claims(store, saga_id, "flight", worker=worker_id)
    silenced = update(t.worker).values(heartbeat_at=after_now(-60))
    store.database.write(lambda c: c.execute(silenced))
    let_it_be_due(store)
    assert Sweep(runtime, InFlight()).sweep_once() == 1
    assert "taken over" not in events(store.database, saga_id)


def test_recovery_sees_at_once_that_a_worker_was_buried_while_it_checked_other_sagas(
    runtime: Runtime, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep may take long: what it knew about the workers at its start does not matter."""
    saga_id = started(store)
    worker_id = uuid7()
    beat(store, worker_id)
    claims(store, saga_id, "flight", worker=worker_id)

    def dies(*_: object) -> bool:
        assert store.database.write(lambda c: workers.expire(c, worker_id, None))
        return False

    let_it_be_due(store)
    monkeypatch.setattr(LostMessages, "is_lost", dies)
    Sweep(runtime, InFlight()).sweep_once()
    assert "taken over" in events(store.database, saga_id)


def beat(store: Store, worker_id: UUID) -> None:
    sign = workers.Heartbeat(worker_id, "two@here", 7, {})
    store.database.write(lambda c: workers.write_heartbeat(c, sign))


@contextmanager
def outage(url: str) -> Iterator[None]:
    """Disconnect all clients of a PostgreSQL database and refuse new ones while the block runs."""
    name = make_url(url).database
    elsewhere = make_url(url).set(database="postgres")
    admin = create_engine(elsewhere, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    allow = f"ALTER DATABASE {name} ALLOW_CONNECTIONS"
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    with admin.connect() as connection:
        connection.execute(text(f"{allow} false"))
        connection.execute(cut, {"name": name})
        try:
            yield
        finally:
            connection.execute(text(f"{allow} true"))


@pytest.fixture
def on_postgres(postgres_url: str) -> Iterator[Runtime]:
    made = Celery("recovery", broker="memory://", set_as_current=False)
    made.conf.update(saga_database_url=postgres_url, saga_lease_s=0.3)
    runtime = Runtime(made)
    yield runtime
    runtime.database.dispose()
    made.close()


def test_a_database_restart_in_the_middle_of_recovery_strands_no_work(
    on_postgres: Runtime, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = on_postgres.store
    ids = [insert_due(store, f"T-{number}", sent_at=None) for number in range(4)]
    down = ExitStack()

    def judged(_: LostMessages, saga: SagaState) -> bool:
        if saga.id == ids[1]:  # one has been sent on, one is being checked, and two are left
            down.enter_context(outage(postgres_url))
        return False

    def epochs() -> list[int]:
        return [saga_row(store.database, saga_id).epoch for saga_id in ids]

    monkeypatch.setattr(LostMessages, "is_lost", judged)
    with down, pytest.raises(OperationalError, match="not currently accepting connections"):
        Sweep(on_postgres, InFlight()).sweep_once()
    assert epochs() == [2, 1, 1, 1], "it was not in the middle"
    monkeypatch.setattr(LostMessages, "is_lost", lambda *_: False)

    def all_are_sent() -> bool:
        Sweep(on_postgres, InFlight()).sweep_once()
        return epochs() == [2, 2, 2, 2]

    wait_until(all_are_sent, what="each is taken up again, and sent once")


# Zombies.


def test_a_late_acknowledgement_by_a_zombie_does_not_delete_another_workers_delivery(
    store: Store,
) -> None:
    saga_id = started(store, steps=[planned("flight", attempts=3)])
    claims(store, saga_id, "flight", token="zombie")  # noqa: S106 - it names an execution
    epoch = store.peek(saga_id).epoch  # type: ignore[union-attr]
    move(store, saga_id)  # it was considered dead
    claims(store, saga_id, "flight", token="other", hostname="two@here")  # noqa: S106
    before = step_row(store.database, saga_id, "flight")

    def late(saga: SagaState) -> Decision:
        return conclude(
            saga,
            "flight",
            Operation.ACTION,
            Succeeded('"too late"'),
            epoch=epoch,
            token="zombie",  # noqa: S106
            timing=Timing(),
            chance=0,
        )

    answered = store.transition(saga_id, late, actor="zombie")
    assert answered is not None
    assert answered.decision.answer == Fenced()
    assert step_row(store.database, saga_id, "flight") == before
    assert store.holds(saga_id, "flight", "other", answered.epoch)


def test_a_delivery_that_a_zombie_deleted_on_the_broker_is_repeated(
    redis_url: str, driver: Driver, store: Store
) -> None:
    """On Redis a redelivered message has the tag of its first delivery."""
    driver.app.conf.broker_url = redis_url
    handle = order_saga.start(Order(notify=False), key="ORD-1")
    queue = driver.app.conf.task_default_queue
    with ExitStack() as connections, redis.Redis.from_url(redis_url) as client:

        def receive() -> Any:
            connection = connections.enter_context(driver.app.connection_for_read())
            return connections.enter_context(connection.SimpleQueue(queue)).get(timeout=HANG_S)

        first = receive()
        first.channel.qos.restore_by_tag(first.delivery_tag)  # its visibility timeout has passed
        second = receive()
        assert second.delivery_tag == first.delivery_tag
        first.ack()
        assert client.hlen("unacked") == client.llen(queue) == 0, "nothing was deleted"
        second.channel.qos._delivered.clear()  # noqa: SLF001 - the other worker is killed
    let_it_be_due(store)
    Sweep(driver.app.sagas, InFlight()).sweep_once()
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED
