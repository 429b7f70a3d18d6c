"""Forged headers: they break no attempt, hurry none, and hide nothing from the sweep."""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import update

from sagas import Retry, Saga, Step
from sagas.record import due
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime import execution
from sagas.runtime.app import Runtime
from sagas.runtime.evidence import Evidence
from sagas.runtime.hand import Hand
from sagas.runtime.messages import QUEUE, SENT_AT
from sagas.runtime.sweep import Sweep
from sagas.sql import after_now
from sagas.states import SagaStatus
from tests.integration.drive import Driver
from tests.integration.records import started
from tests.integration.shop import Order, order_saga, reserve
from tests.integration.test_hostile_messages import (
    CHARGE,
    NOTIFY,
    RESERVE,
    driver,
    everything,
    fails,
    in_the_middle,
    ran,
)

__all__ = ["driver", "ran"]

REPORT = "shop.report"

patient_saga = Saga(
    "shop.patient",
    input=Order,
    steps=[
        Step(reserve, name=REPORT, retry=Retry(max_attempts=3, wait_initial=3600, wait_max=3600))
    ],
)


MOMENTS = [1e300, float("inf"), float("nan"), 10**400, -1e300, -1, True, "soon", None, [1], {}]


@dataclass(eq=False)
class Request:
    """A message as a worker receives it; known by its identity, as Celery's are."""

    request_dict: dict[str, Any]
    args: tuple[Any, ...]
    app: Celery
    acknowledged: bool = False


@pytest.mark.parametrize("moment", MOMENTS, ids=repr)
def test_a_forged_time_is_no_evidence_and_does_not_hide_what_is(
    moment: Any, store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = started(store)
    saga = store.peek(saga_id)
    assert saga is not None
    assert saga.sent_at is not None
    queue = runtime.app.conf.task_default_queue
    monkeypatch.setattr(runtime.messages, "backlog", lambda queues: {q.name: 9 for q in queues})
    monkeypatch.setattr(
        runtime.messages, "queue_of", lambda _: SimpleNamespace(name=queue, routing_key=queue)
    )

    def lost(hand: Hand) -> bool:
        json.dumps(hand.seen)  # it goes into the record
        return Evidence(runtime.messages, hand.seen, margin_s=1).lost(saga)

    hand = Hand()
    hand.note_received(
        Request({SENT_AT: moment, QUEUE: queue}, (str(saga_id), "flight", 1), runtime.app)
    )
    assert not lost(hand)
    # The next message that is the engine's own was sent after the saga's, and overtook it.
    later = saga.sent_at.timestamp() + 1.5
    other = (str(uuid.uuid4()), "flight", 1)
    hand.note_received(Request({SENT_AT: later, QUEUE: queue}, other, runtime.app))
    assert hand.seen == {queue: later}


@pytest.mark.parametrize("epoch", [2**31, 10**30, -(10**30), 0, -1])
def test_a_message_in_a_workers_hands_does_not_stop_its_sweep(
    epoch: int, store: Store, runtime: Runtime
) -> None:
    """One with a far time to run stays there, and its epoch would go into SQL at every sweep."""
    saga_id = started(store)
    store.database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    hand = Hand()
    forged = Request({SENT_AT: 1.0}, (str(saga_id), "flight", epoch), runtime.app)
    hand.note_received(forged)
    assert Sweep(runtime, hand).sweep_once() == 1
    assert not store.database.read(due.any_due)


def test_queues_that_nobody_consumes_are_not_counted(runtime: Runtime) -> None:
    """Each would go into the record, again with every heartbeat."""
    hand = Hand()
    names: list[Any] = ["nowhere", "x" * 1_000_000, "\x00", None, 7, ["celery"], {}]
    for name in names:
        args = (str(uuid.uuid4()), "flight", 1)
        hand.note_received(Request({SENT_AT: 1.0, QUEUE: name}, args, runtime.app))
    assert hand.seen == {}


@pytest.mark.parametrize("eta", ["2099-01-01T00:00:00+00:00", "2099-01-01", "soon", 7, [], {}])
def test_a_message_that_is_to_run_in_years_vouches_for_no_saga(
    eta: Any, store: Store, runtime: Runtime
) -> None:
    """It stays in a worker's hands, and would keep every sweep from the saga."""
    saga_id = started(store)
    hand = Hand()
    headers = {SENT_AT: 1.0, "eta": eta}
    forged = Request(headers, (str(saga_id), "flight", 1), runtime.app)
    hand.note_received(forged)
    assert hand.waiting(within_s=60) == set()
    headers["eta"] = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert hand.waiting(within_s=60) == {(saga_id, 1)}


@pytest.mark.parametrize("limits", [[0.001, 0.001], [None, 1], [1, None], [5, "x"], ["x", {}]])
def test_a_forged_time_limit_breaks_no_attempt(
    limits: Any, driver: Driver, database: Database, ran: list[str]
) -> None:
    """One attempt after the other would break, until the saga turned back."""
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
def test_a_limit_of_the_sender_alone_is_no_forgery(
    worker_s: float | None, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers may have another task_time_limit than applications, and than older workers."""

    def limit_tasks(seconds: float | None) -> None:  # as Celery does with that setting
        for name in (RESERVE, CHARGE, NOTIFY):
            monkeypatch.setattr(driver.app.tasks[name], "time_limit", seconds)

    limit_tasks(300)
    handle = order_saga.start(Order(), key="ORD-1")
    limit_tasks(worker_s)
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED


def test_a_forged_message_cannot_eat_the_attempts_that_a_saga_waits_for(
    driver: Driver, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would turn back at once where it is to outlast an outage of hours."""
    monkeypatch.setattr(execution.Execution, "_context", fails)
    handle = patient_saga.start(Order(), key="ORD-1")
    driver.run_all()
    ran.clear()
    for _ in range(10):
        driver.send(RESERVE, str(handle.id), REPORT, handle.view().epoch)
    assert not ran
    assert handle.view().status is SagaStatus.IN_PROGRESS


def test_nor_start_a_saga_before_its_time(driver: Driver, ran: list[str]) -> None:
    handle = order_saga.start(Order(), key="ORD-1", delay=timedelta(hours=1))
    driver.send(RESERVE, str(handle.id), RESERVE, 1)
    assert not ran
    assert handle.view().status is SagaStatus.STARTED
