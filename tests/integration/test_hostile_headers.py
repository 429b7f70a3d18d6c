"""Forged headers fail no attempt, hurry none, and hide nothing from the sweep."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from kombu.entity import Queue
from sqlalchemy import update

from sagas.duties.extend import Extend
from sagas.duties.in_flight import InFlight
from sagas.duties.lost_messages import LostMessages
from sagas.duties.sweep import Sweep
from sagas.record import due
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.runtime.messages import QUEUE, SENT_AT
from sagas.runtime.queues import Lane
from sagas.sql import after_now
from sagas.states import SagaStatus
from sagas.worker import execution
from tests.integration.hostile import fails, in_the_middle
from tests.support.driver import Driver
from tests.support.records import everything, started
from tests.support.shop import CHARGE, NOTIFY, REPORT, RESERVE, Order, order_saga, patient_saga

MOMENTS = [1e300, float("inf"), float("nan"), 10**400, -1e300, -1, True, "soon", None, [1], {}]


@dataclass(eq=False)
class Request:
    """A message as a worker receives it; compared by identity, as Celery's are."""

    request_dict: dict[str, Any]
    args: tuple[Any, ...]
    app: Celery
    acknowledged: bool = False
    delivery_info: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize("moment", MOMENTS, ids=repr)
def test_a_forged_time_is_no_evidence_and_does_not_hide_real_evidence(
    moment: Any, store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = started(store)
    saga = store.peek(saga_id)
    assert saga is not None
    assert saga.sent_at is not None
    queue = runtime.app.conf.task_default_queue
    monkeypatch.setattr(runtime.messages, "backlog", lambda queues: {q.name: 9 for q in queues})
    monkeypatch.setattr(runtime.messages, "lane_of", lambda _: Lane(Queue(queue)))

    def lost(in_flight: InFlight) -> bool:
        json.dumps(in_flight.seen)  # it is written to the record
        return LostMessages(runtime.messages, in_flight.seen, margin_s=1).is_lost(saga)

    in_flight = InFlight()
    in_flight.note_received(
        Request({SENT_AT: moment, QUEUE: queue}, (str(saga_id), "flight", 1), runtime.app)
    )
    assert not lost(in_flight)
    # The engine's own next message was sent after the saga's and overtook it.
    later = saga.sent_at.timestamp() + 1.5
    other = (str(uuid.uuid4()), "flight", 1)
    in_flight.note_received(Request({SENT_AT: later, QUEUE: queue}, other, runtime.app))
    assert in_flight.seen == {queue: later}


@pytest.mark.parametrize("epoch", [2**31, 10**30, -(10**30), 0, -1])
def test_a_message_that_a_worker_has_received_stops_none_of_its_duties(
    epoch: int, store: Store, runtime: Runtime
) -> None:
    """While it waits in the worker, its epoch goes into SQL again and again."""
    saga_id = started(store)
    store.database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    in_flight = InFlight()
    forged = Request({SENT_AT: 1.0}, (str(saga_id), "flight", epoch), runtime.app)
    in_flight.note_received(forged)
    Extend(runtime, in_flight).extend_once()
    assert Sweep(runtime, in_flight).sweep_once() == 1
    assert not store.database.read(due.any_due)


def test_queues_that_nobody_consumes_are_not_counted(runtime: Runtime) -> None:
    """Each would be written to the record again with every heartbeat."""
    in_flight = InFlight()
    names: list[Any] = ["nowhere", "x" * 1_000_000, "\x00", None, 7, ["celery"], {}]
    for name in names:
        args = (str(uuid.uuid4()), "flight", 1)
        in_flight.note_received(Request({SENT_AT: 1.0, QUEUE: name}, args, runtime.app))
    assert in_flight.seen == {}
    assert in_flight.withheld(held_s=0) == set()


@pytest.mark.parametrize("eta", ["2099-01-01T00:00:00+00:00", "2099-01-01", "soon", 7, [], {}])
def test_a_message_scheduled_years_ahead_extends_no_saga(
    eta: Any, store: Store, runtime: Runtime
) -> None:
    """It stays in flight and would keep every sweep away from the saga."""
    saga_id = started(store)
    in_flight = InFlight()
    headers = {SENT_AT: 1.0, "eta": eta}
    forged = Request(headers, (str(saga_id), "flight", 1), runtime.app)
    in_flight.note_received(forged)
    assert in_flight.unstarted(within_s=60, held_s=60) == set()
    headers["eta"] = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert in_flight.unstarted(within_s=60, held_s=60) == {(saga_id, 1)}


@pytest.mark.parametrize("limits", [[0.001, 0.001], [None, 1], [1, None], [5, "x"], ["x", {}]])
def test_a_forged_time_limit_fails_no_attempt(
    limits: Any, driver: Driver, database: Database, ran: list[str]
) -> None:
    """One attempt after another would fail until the saga turned back."""
    handle = in_the_middle(driver)
    before = everything(database)
    ran.clear()
    answer = driver.send(CHARGE, str(handle.id), CHARGE, 1, timelimit=limits)
    assert "its time limit is not the one of the plan" in answer
    assert not ran
    assert everything(database) == before
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED


@pytest.mark.parametrize("worker_s", [None, 60, 600])
def test_a_limit_that_only_the_sender_has_is_not_forged(
    worker_s: float | None, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers may have another task_time_limit than applications or older workers do."""

    def limit_tasks(seconds: float | None) -> None:  # as Celery does with that setting
        for name in (RESERVE, CHARGE, NOTIFY):
            monkeypatch.setattr(driver.app.tasks[name], "time_limit", seconds)

    limit_tasks(300)
    handle = order_saga.start(Order(), key="ORD-1")
    limit_tasks(worker_s)
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED


def test_a_forged_message_cannot_use_up_the_attempts_that_a_saga_waits_for(
    driver: Driver, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saga would turn back at once although it is meant to outlast an outage of hours."""
    monkeypatch.setattr(execution.Execution, "_context", fails)
    handle = patient_saga.start(Order(), key="ORD-1")
    driver.run_all()
    ran.clear()
    for _ in range(10):
        driver.send(RESERVE, str(handle.id), REPORT, handle.describe().epoch)
    assert not ran
    assert handle.describe().status is SagaStatus.IN_PROGRESS


def test_a_forged_message_cannot_start_a_saga_before_its_time(
    driver: Driver, ran: list[str]
) -> None:
    handle = order_saga.start(Order(), key="ORD-1", delay=timedelta(hours=1))
    driver.send(RESERVE, str(handle.id), RESERVE, 1)
    assert not ran
    assert handle.describe().status is SagaStatus.STARTED
