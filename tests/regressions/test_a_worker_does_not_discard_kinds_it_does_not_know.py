"""Celery discards a message whose task a worker lacks. The saga waits, and people are told."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

import sagas
from sagas.decision import Succeeded, Timing
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.duties.unregistered_tasks import note_unregistered
from sagas.record import tables as t
from sagas.record.alerts import Alert
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.sql import before_now
from sagas.states import Operation, SagaStatus
from tests.support.records import PLAN, REFUSED, claims, concludes, events, saga_row, started
from tests.support.waiting import HANG_S


@pytest.fixture
def runtime_here(runtime: Runtime, store: Store) -> Iterator[Runtime]:
    """Return the runtime of an app on this record that has none of the trip's tasks."""
    runtime.app.conf.update(saga_database_url=store.database.url)
    for planned in PLAN.steps:  # other tests share tasks of these names with every app
        runtime.app.tasks.pop(planned.action.task, None)
    yield runtime
    runtime.database.dispose()


@pytest.fixture
def look(runtime_here: Runtime, store: Store) -> Callable[[UUID], None]:
    """Return a function that discards messages, as Celery does, and lets a sweep check a saga."""
    sweep = Sweep(runtime_here, InFlight())

    def once(saga_id: UUID) -> None:
        with runtime_here.app.connection_for_write() as connection:
            runtime_here.app.amqp.TaskConsumer(connection).purge()
        statement = update(t.saga).where(t.saga.c.id == saga_id).values(due_at=before_now(1))
        store.database.write(lambda c: c.execute(statement))
        assert sweep.sweep_once() == 1

    return once


def alerts(store: Store) -> list[Alert]:
    rows = store.database.read(lambda c: c.execute(select(t.alert.c.body)).scalars().all())
    return [Alert.from_json(row) for row in rows]


def test_a_saga_whose_message_nobody_runs_is_blocked_and_told_of_once(
    look: Callable[[UUID], None], store: Store, runtime: Runtime
) -> None:
    saga_id = started(store)
    for _ in range(12):
        look(saga_id)
    state = store.peek(saga_id)
    assert state
    assert (state.status, state.failure, state.resends) == (SagaStatus.STARTED, None, 12)
    assert events(store.database, saga_id) == ["STARTED", "sent again", "sent again", "blocked"]
    (alert,) = alerts(store)
    assert (alert.event, alert.steps, alert.task) == ("saga.blocked", ("flight",), "flight")
    assert alert.queue == runtime.app.conf.task_default_queue
    assert "Deploy a worker that has the task, or cancel the saga." in alert.reason
    longest = timedelta(seconds=Timing().max_check_interval_s)
    assert saga_row(store.database, saga_id).due_at - state.now <= longest


def test_it_goes_on_once_a_worker_has_the_task_and_another_episode_is_told_of_again(
    look: Callable[[UUID], None], store: Store
) -> None:
    saga_id = started(store)
    for _ in range(4):
        look(saga_id)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    row = saga_row(store.database, saga_id)
    assert (row.resends, row.blocked) == (0, None)
    for _ in range(4):
        look(saga_id)
    assert [alert.task for alert in alerts(store)] == ["flight", "hotel"]


def test_a_blocked_saga_that_is_parked_in_the_same_epoch_sends_an_alert_of_each_kind(
    look: Callable[[UUID], None], store: Store
) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    claims(store, saga_id, "hotel")
    concludes(store, saga_id, "hotel", REFUSED)
    for _ in range(4):  # turned back, then sent again three times
        look(saga_id)
    claims(store, saga_id, "flight", Operation.COMPENSATION)
    concludes(store, saga_id, "flight", REFUSED, Operation.COMPENSATION)
    told = [(alert.event, alert.epoch) for alert in alerts(store)]
    epoch = saga_row(store.database, saga_id).epoch
    assert told == [("saga.blocked", epoch), ("saga.parked", epoch)]


def test_cancelling_it_unblocks_it(look: Callable[[UUID], None], store: Store) -> None:
    saga_id = started(store)
    for _ in range(3):
        look(saga_id)
    assert saga_row(store.database, saga_id).blocked
    sagas.get(saga_id).cancel(reason="…")
    row = saga_row(store.database, saga_id)
    assert (row.status, row.resends, row.blocked) == (SagaStatus.COMPENSATED, 0, None)


def test_a_message_that_the_broker_does_not_accept_is_not_considered_discarded(
    look: Callable[[UUID], None],
    store: Store,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saga_id = started(store)
    monkeypatch.setattr(runtime.messages, "publish", lambda *_: False)
    for _ in range(6):
        look(saga_id)
    assert saga_row(store.database, saga_id).resends <= 1
    assert alerts(store) == []


def test_a_worker_logs_which_task_it_lacks(
    runtime_here: Runtime,
    look: Callable[[UUID], None],
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    saga_id = started(store)
    look(saga_id)
    hand, queue = InFlight(), runtime_here.app.conf.task_default_queue
    with runtime_here.app.connection_for_read() as broker, broker.SimpleQueue(queue) as waiting:
        message = waiting.get(timeout=HANG_S)
        message.ack()
    note_unregistered(runtime_here.app, hand, message, "flight")
    (line,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert f"This worker has no task flight, so step flight of saga {saga_id}" in line.message
    assert queue in line.message
    assert list(hand.seen) == [queue]
