"""Bugs of the way back and of alerts that other engines shipped, each under its own name."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from sagas import ActionDeclined, Alert, SagaHandle
from sagas.decision import (
    Dropped,
    RetryLater,
    Succeeded,
)
from sagas.duties import alerts as delivery
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.states import Operation, SagaStatus
from sagas.worker import execution
from tests.support.driver import Driver
from tests.support.records import (
    ERRORED,
    REFUSED,
    claims,
    concludes,
    count,
    events,
    move,
    parked,
    started,
)
from tests.support.shop import CHARGE, REFUND, RELEASE, RESERVE, Order, order_saga
from tests.support.states import planned
from tests.support.waiting import HANG_S

UNDO = Operation.COMPENSATION


# Alerts, and what is shown.


def test_an_alert_is_not_sent_twice(
    store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a repeated check of the saga nor simultaneous deliveries by workers repeat it."""
    told: list[Alert] = []
    monkeypatch.setattr(delivery, "_hooks", {"a test": told.append})
    saga_id = parked(store)
    move(store, saga_id)
    concludes(store, saga_id, "flight", REFUSED, UNDO)  # the reply to its commit was lost
    assert count(store.database, t.alert) == 1
    together = threading.Barrier(4)

    def deliver(_: int) -> int:
        together.wait(timeout=HANG_S)
        return delivery.Alerts(runtime).deliver_once()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(deliver, range(4))) == [0, 0, 0, 1]
    assert [alert.saga_id for alert in told] == [saga_id]


def test_a_saga_with_a_failed_undo_is_not_shown_as_compensated(store: Store) -> None:
    """The next undo succeeds, and is the last one."""
    saga_id = started(store, steps=[planned(name) for name in ("flight", "hotel", "car")])
    for name in ("flight", "hotel"):
        claims(store, saga_id, name)
        concludes(store, saga_id, name, Succeeded('"booked"'))
    claims(store, saga_id, "car")
    concludes(store, saga_id, "car", REFUSED)
    move(store, saga_id)
    claims(store, saga_id, "hotel", UNDO)
    concludes(store, saga_id, "hotel", REFUSED, UNDO)
    move(store, saga_id)  # the failure broke its chain
    claims(store, saga_id, "flight", UNDO)
    concludes(store, saga_id, "flight", Succeeded(), UNDO)
    view = store.database.read(lambda c: queries.saga_by_id(c, saga_id))
    assert view is not None
    assert (view.status, view.parked and view.parked["steps"]) == (SagaStatus.FAILED, ["hotel"])
    assert "COMPENSATED" not in events(store.database, saga_id)


# The way back.


def test_forward_redeliveries_do_not_use_up_the_retries_of_the_compensation(store: Store) -> None:
    step = planned("flight", attempts=5, undo_attempts=2)
    saga_id = started(store, steps=[step])
    for number in range(5):
        claims(store, saga_id, "flight")
        for _ in range(5):  # the same message, again and again
            again = claims(store, saga_id, "flight", token=f"copy {number}")
            assert isinstance(again.decision.answer, Dropped)
        concludes(store, saga_id, "flight", ERRORED)
    move(store, saga_id)
    claims(store, saga_id, "flight", UNDO)
    first = concludes(store, saga_id, "flight", ERRORED, UNDO)
    assert isinstance(first.decision.answer, RetryLater)
    claims(store, saga_id, "flight", UNDO, token="second")  # noqa: S106 - it names an execution
    undone = concludes(
        store,
        saga_id,
        "flight",
        Succeeded(),
        UNDO,
        token="second",  # noqa: S106
    )
    assert undone.status is SagaStatus.COMPENSATED


Interrupt = Callable[[], None]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, Interrupt | None]:
    """Return the tasks that ran, each with the interruption planned for it, if any.

    A task with an interruption runs, and then fails without reporting its effect.
    """
    tasks: dict[str, Interrupt | None] = {}
    real = execution.Execution.run

    def run(self: Any, claimed: Any, granted: Any) -> Any:
        interrupt = tasks.pop(self._call.task, None)
        tasks[self._call.task] = None
        result = real(self, claimed, granted)
        if interrupt is None:
            return result
        interrupt()
        return ERRORED

    monkeypatch.setattr(execution.Execution, "run", run)
    return tasks


def cancelled(handle: SagaHandle) -> None:
    handle.cancel(reason="the customer left")


@pytest.mark.parametrize("messages", [0, 1, 2])
def test_a_cancel_leaves_no_effects_behind(
    messages: int, driver: Driver, ran: dict[str, Interrupt | None]
) -> None:
    handle = order_saga.start(Order(notify=False), key="ORD-1")
    for _ in range(messages):
        driver.run_one()
    if messages == 2:
        with pytest.raises(ActionDeclined):  # everything has happened, and the cancel says so
            cancelled(handle)
        return
    cancelled(handle)
    driver.run_all()
    assert handle.status is SagaStatus.COMPENSATED
    assert list(ran) == [RESERVE, RELEASE][: 2 * messages]


def test_a_cancel_of_a_running_step_leaves_no_effects_behind(
    driver: Driver, ran: dict[str, Interrupt | None]
) -> None:
    """The same holds when nobody knows whether that step had an effect."""
    handle = order_saga.start(Order(), key="ORD-1")
    ran[CHARGE] = partial(cancelled, handle)
    driver.run_all()
    assert handle.status is SagaStatus.COMPENSATED
    assert list(ran) == [RESERVE, CHARGE, REFUND, RELEASE]
