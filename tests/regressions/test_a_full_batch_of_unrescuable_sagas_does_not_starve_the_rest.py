"""Ten thousand sagas that cannot be advanced delay a healthy one by at most two sweeps."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, func, select, update

from sagas.decision import Dispatch, SagaState, Timing
from sagas.duties.failed_sweep import postponed_on_error
from sagas.duties.in_flight import InFlight
from sagas.duties.reclaim import Reclaim
from sagas.duties.sweep import BATCH, Sweep
from sagas.errors import PlanUnreadable
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.alerts import Alert
from sagas.record.database import Database
from sagas.record.failed_sweeps import count_failed_sweep
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain
from sagas.runtime.settings import Settings
from sagas.sql import after_now, before_now
from sagas.states import Operation
from tests.support.records import PLAN, claims, count, events, new_saga, saga_row, started
from tests.support.states import planned

POISON = 10_000
HOUR_S = 3600.0
NEWER = Plan("newer", (planned("flight"),))


@pytest.fixture
def sweep(runtime: Runtime, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    """Return the sweep of a worker that takes no messages and postpones sagas for hours."""
    timing = Timing(lease_s=HOUR_S, timer_s=2.0, max_check_interval_s=20 * HOUR_S)
    monkeypatch.setattr(Settings, "timing", timing)
    runtime.app.conf.update(saga_database_url=store.database.url, saga_lease_s=HOUR_S)
    assert runtime.database.url == store.database.url
    yield Sweep(runtime, InFlight())
    runtime.database.dispose()


def poison(store: Store, number: int, **values: object) -> list[UUID]:
    """Start sagas whose plan this version cannot read, and make them due."""
    news = [
        replace(new_saga(f"P-{index}"), plan=NEWER, id=new_saga().id) for index in range(number)
    ]

    def insert(connection: Connection) -> list[UUID]:
        ids = _insert(connection, store, news)
        body = NEWER.to_json().replace('"pivot"', '"pivot_of_a_newer_kind"')
        plan = t.plan.c.hash == NEWER.hash
        connection.execute(update(t.plan).where(plan).values(body=body))
        due = {"due_at": before_now(100), **values}
        connection.execute(update(t.saga).where(t.saga.c.plan == NEWER.hash).values(due))
        return ids

    ids = store.database.write(insert)
    store.plans = type(store.plans)()
    return ids


def _insert(connection: Connection, store: Store, news: Sequence[NewSaga]) -> list[UUID]:
    ids: list[UUID] = []
    for start in range(0, len(news), 1000):
        ids += insert_sagas(connection, store.plans, news[start : start + 1000], lease_s=3)
    return ids


def healthy(store: Store) -> UUID:
    """Start a saga that is due now and whose message was never sent."""
    saga_id = started(store, "healthy", steps=PLAN.steps)
    let_it_be_due(store, saga_id, sent_at=None)
    return saga_id


def let_it_be_due(store: Store, saga_id: UUID, **values: object) -> None:
    statement = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(lambda c: c.execute(statement.values(due_at=before_now(0.01), **values)))


def alerts(store: Store) -> list[Alert]:
    rows = store.database.read(lambda c: c.execute(select(t.alert.c.body)).scalars().all())
    return [Alert.from_json(row) for row in rows]


@pytest.mark.slow
def test_a_healthy_saga_behind_ten_thousand_new_blocked_ones_is_advanced_within_two_sweeps(
    sweep: Sweep, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="sagas")
    poison(store, POISON)
    saga_id = healthy(store)
    for _ in range(2):
        sweep.sweep_once()
    assert events(store.database, saga_id) == ["STARTED", "sent"]


def test_a_healthy_saga_behind_ten_thousand_known_blocked_ones_is_advanced_at_once(
    sweep: Sweep, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="sagas")
    poison(store, POISON, failed_sweeps=7)
    saga_id = healthy(store)
    let_it_be_due(store, saga_id)
    assert sweep.sweep_once() == 1 + BATCH
    assert events(store.database, saga_id) == ["STARTED", "sent"]
    tried = select(func.count()).where(t.saga.c.failed_sweeps == 8)
    assert store.database.read(lambda c: c.scalar(tried)) == BATCH


def test_a_saga_that_cannot_be_advanced_is_counted_postponed_and_told_of_once(
    sweep: Sweep, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    (saga_id,) = poison(store, 1)
    waits = []
    for _ in range(8):
        assert sweep.sweep_once() == 1
        row = saga_row(store.database, saga_id)
        now = store.database.read(lambda c: c.scalar(select(after_now(0))))
        waits.append(round((row.due_at - now) / timedelta(hours=1)))
        let_it_be_due(store, saga_id)
    assert waits == [1, 2, 4, 8, 16, 20, 20, 20]
    (alert,) = alerts(store)
    assert (alert.event, alert.saga_id, alert.steps) == ("saga.blocked", saga_id, ())
    assert "PlanUnreadable: A plan in the record cannot be read by this version" in alert.reason
    assert saga_row(store.database, saga_id).blocked["reason"] == alert.reason
    assert events(store.database, saga_id) == ["STARTED", "blocked"]
    told = [record for record in caplog.records if "could not be advanced" in record.message]
    assert [record.exc_info is not None for record in told] == [True] + [False] * 7


def test_a_saga_that_can_be_advanced_again_goes_on_and_its_next_episode_is_reported_again(
    sweep: Sweep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = healthy(store)

    def unreadable(*_: object) -> None:
        _fail_as_with_an_unreadable_plan()

    for episode in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(sweep._runtime.store.plans, "get", unreadable)  # noqa: SLF001
            for _ in range(4):
                let_it_be_due(store, saga_id)
                sweep.sweep_once()
        assert saga_row(store.database, saga_id).failed_sweeps == 4
        assert len(alerts(store)) == episode
        let_it_be_due(store, saga_id, sent_at=None)
        sweep.sweep_once()
        row = saga_row(store.database, saga_id)
        assert (row.failed_sweeps, row.blocked) == (0, None)
    assert events(store.database, saga_id) == ["STARTED", "blocked", "sent", "blocked", "sent"]


def test_a_saga_that_this_worker_holds_and_cannot_take_back_delays_no_other(
    sweep: Sweep, store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "worker_id", uuid4())
    dropped, saga_id = started(store, "dropped"), healthy(store)
    claims(store, dropped, "flight", worker=runtime.worker_id, task_id="ended")
    damaged = update(t.saga).where(t.saga.c.id == dropped).values(status="OF_A_NEWER_KIND")
    store.database.write(lambda c: c.execute(damaged))
    for _ in range(3):
        Reclaim(runtime, InFlight()).reclaim_once()
        sweep.sweep_once()
    assert events(store.database, saga_id) == ["STARTED", "sent"]
    # It was postponed, and left alone until then.
    assert saga_row(store.database, dropped).failed_sweeps == 1


def test_a_saga_whose_queue_is_gone_is_postponed_and_keeps_no_other_from_the_broker(
    sweep: Sweep, store: Store, runtime: Runtime
) -> None:
    runtime.app.conf.task_create_missing_queues = False
    flight = planned("flight")
    elsewhere = replace(flight, action=replace(flight.action, queue="gone"))
    gone = started(store, "gone", steps=[elsewhere])
    let_it_be_due(store, gone, sent_at=None)
    saga_id = healthy(store)
    sweep.sweep_once()
    row = saga_row(store.database, gone)
    assert (row.failed_sweeps, row.sent_at) == (1, None)
    assert saga_row(store.database, saga_id).sent_at is not None
    assert not runtime.messages.publish(Chain(_peeked(store, gone), _CHAIN, 1))
    assert runtime.messages.publish(Chain(_peeked(store, saga_id), _CHAIN, 1))


_CHAIN = Dispatch(Operation.ACTION, ("flight",))


def _peeked(store: Store, saga_id: UUID) -> SagaState:
    state = store.peek(saga_id)
    assert state
    return state


def _fail_as_with_an_unreadable_plan() -> None:
    raise PlanUnreadable("…")


def test_a_saga_that_has_ended_meanwhile_is_not_postponed(
    sweep: Sweep, store: Store, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sagas")
    (saga_id,) = poison(store, 1, due_at=None)
    assert sweep.sweep_once() == 0
    # As when the sweep is slower than the saga.
    with postponed_on_error(runtime, saga_id):
        _fail_as_with_an_unreadable_plan()
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert saga_row(store.database, saga_id).due_at is None
    assert count(store.database, t.alert) == 0


def test_a_saga_that_somebody_has_locked_is_not_waited_for_a_second_time(server_url: str) -> None:
    store = Store(Database(server_url))
    saga_id = started(store)
    with store.database.engine.begin() as other, store.database.engine.begin() as own:
        other.execute(select(t.saga.c.id).where(t.saga.c.id == saga_id).with_for_update())
        assert count_failed_sweep(own, saga_id, "…", timing=Timing(), actor="sweep 1") is None
    assert saga_row(store.database, saga_id).failed_sweeps == 0
    store.database.dispose()
