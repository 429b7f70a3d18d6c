"""Writing to the broker runs no step out of turn and changes nothing that has ended."""

import uuid
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from sagas import SagaHandle
from sagas.decision import Succeeded
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime.messages import TURN_BACK
from sagas.sql import after_now
from sagas.states import SagaStatus
from sagas.worker import execution
from tests.integration.hostile import fails, in_the_middle
from tests.support.driver import Driver
from tests.support.records import claims, concludes, everything, started, turned_back
from tests.support.shop import (
    CHARGE,
    EVERY_TASK,
    NOTIFY,
    REFUND,
    RELEASE,
    RESERVE,
    Order,
    order_saga,
)

_DONE = Succeeded('"LH 1"')


def compensated(driver: Driver) -> SagaHandle:
    handle = in_the_middle(driver)
    handle.cancel(reason="the customer left")
    driver.run_all()
    assert handle.describe().status is SagaStatus.COMPENSATED
    return handle


def completed(driver: Driver) -> SagaHandle:
    handle = order_saga.start(Order(), key="ORD-1")
    driver.run_all()
    assert handle.describe().status is SagaStatus.COMPLETED
    return handle


# Steps.


def epochs(handle: SagaHandle) -> list[Any]:
    own = handle.describe().epoch
    return [own, own + 1, own - 1, 0, -own, 10**30, -(10**30), True, False, 1.0, str(own), None]


def hostile_arguments(handle: SagaHandle) -> list[list[Any]]:
    own, epoch = str(handle.id), handle.describe().epoch
    names = ["", "nothing", "a\x00b", "'; DROP TABLE saga; --", "x" * 201, "x" * 1_000_000, RELEASE]
    return [
        *([own, step, number] for step in (RESERVE, CHARGE, NOTIFY) for number in epochs(handle)),
        *([own, name, epoch] for name in names),
        *(
            [who, CHARGE, epoch]
            for who in ("", "\x00", str(uuid.uuid4()), "g" * 32, 7, None, [own])
        ),
        [],
        [own],
        [own, CHARGE],
        [own, CHARGE, epoch, "more"],
        [{"saga": own}],
        [[own, CHARGE, epoch]],
        ["any id", own, epoch + 1],
        ["any id", own, 10**30],
        ["any id", "no id", 1],
    ]


@pytest.mark.parametrize("end", [completed, compensated])
@pytest.mark.parametrize("task", EVERY_TASK)
def test_no_message_touches_a_saga_that_has_ended(
    end: Any, task: str, driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = end(driver)
    before = everything(database)
    ran.clear()
    for args in hostile_arguments(handle):
        driver.send(task, *args)
    assert not ran
    assert everything(database) == before


@pytest.mark.parametrize("task", EVERY_TASK)
def test_no_message_runs_a_step_other_than_the_current_one(
    task: str, driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    before = everything(database)
    ran.clear()
    for args in hostile_arguments(handle):
        if args[:3] != [str(handle.id), CHARGE, 1] or task not in (CHARGE, TURN_BACK):
            driver.send(task, *args)
    assert not ran
    assert everything(database) == before
    driver.run_all()
    assert ran == [CHARGE, NOTIFY]
    assert handle.status is SagaStatus.COMPLETED


def test_a_step_is_not_executed_by_the_function_of_another(
    driver: Driver, database: Database, ran: list[str]
) -> None:
    """Only the task of the message is wrong: believing it would skip the charge."""
    handle = in_the_middle(driver)
    before = everything(database)
    ran.clear()
    for task in (RESERVE, NOTIFY, RELEASE, REFUND):
        assert "dropped" in driver.send(task, str(handle.id), CHARGE, 1)
    assert not ran
    assert everything(database) == before


def test_a_step_is_not_undone_by_the_compensation_of_another(
    driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    handle.cancel(reason="the customer left")
    before, epoch = everything(database), handle.describe().epoch
    ran.clear()
    for task in (RESERVE, CHARGE, NOTIFY, REFUND):
        assert "dropped" in driver.send(task, str(handle.id), RESERVE, epoch)
    assert not ran
    assert everything(database) == before
    assert driver.send(RELEASE, str(handle.id), RESERVE, epoch) == "COMPENSATED"


def test_a_message_of_the_right_step_and_epoch_runs_it_once_however_often_it_arrives(
    driver: Driver, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    ran.clear()
    answers = [driver.send(CHARGE, str(handle.id), CHARGE, 1) for _ in range(3)]
    assert ran == [CHARGE]
    assert answers == ["SUCCESS", "done before", "done before"]


def test_a_compensation_of_a_saga_that_goes_forward_is_void(
    driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    before = everything(database)
    ran.clear()
    assert "the saga is IN_PROGRESS" in driver.send(RELEASE, str(handle.id), RESERVE, 1)
    assert not ran
    assert everything(database) == before


def test_an_action_of_a_saga_that_turns_back_is_void(
    driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    handle.cancel(reason="the customer left")
    before, epoch = everything(database), handle.describe().epoch
    ran.clear()
    for step, task in ((CHARGE, CHARGE), (RESERVE, RESERVE), (NOTIFY, NOTIFY)):
        assert "the saga is COMPENSATING" in driver.send(task, str(handle.id), step, epoch)
    assert not ran
    assert everything(database) == before


# The turn-back duty.


def test_a_forged_turn_back_advances_the_saga_and_never_turns_it_back(
    driver: Driver, database: Database, ran: list[str]
) -> None:
    handle = in_the_middle(driver)
    for _ in range(3):
        driver.send(TURN_BACK, "any id", str(handle.id), handle.describe().epoch)
    assert handle.describe().status is SagaStatus.IN_PROGRESS
    driver.run_all()  # what was sent again, and what is void now
    assert handle.describe().status is SagaStatus.COMPLETED
    assert ran == [RESERVE, CHARGE, NOTIFY]
    before = everything(database)
    driver.send(TURN_BACK, "any id", str(handle.id), handle.describe().epoch)
    assert everything(database) == before


def test_a_forged_turn_back_takes_no_step_from_its_holder(store: Store, driver: Driver) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    driver.send(TURN_BACK, "any id", str(saga_id), 1)
    assert concludes(store, saga_id, "flight", _DONE).decision.steps[0].status == "SUCCESS"


# Texts.


def test_markup_and_control_characters_in_keys_and_errors_stay_text(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    nasty = "<script>alert(1)</script> [red]x[/red] \x00 \x1b[31m '; DROP TABLE saga; --"
    key = "'; DROP TABLE saga; --<b>"
    handle = order_saga.start(Order(), key=key)

    monkeypatch.setattr(execution.Execution, "_context", staticmethod(partial(fails, nasty)))
    driver.run_all()
    assert order_saga.get(key=key).id == handle.id
    failure = handle.describe().failure
    assert failure is not None
    assert failure["message"] == nasty


@pytest.mark.parametrize(
    "task_id", ["x" * 10_000, "\x00", "'; DROP TABLE saga; --"], ids=["long", "NUL", "SQL"]
)
def test_a_forged_task_id_does_not_stop_the_saga(
    task_id: str, driver: Driver, store: Store
) -> None:
    handle = in_the_middle(driver)
    driver.send(CHARGE, str(handle.id), CHARGE, 1, id=task_id)
    driver.run_all()
    store.database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    Sweep(driver.app.sagas, InFlight()).sweep_once()
    driver.run_all()
    assert handle.status is SagaStatus.COMPLETED


def test_no_message_touches_a_saga_that_was_ended_directly_in_the_store(
    driver: Driver, store: Store
) -> None:
    saga_id = turned_back(store)
    before = everything(store.database)
    for task in EVERY_TASK:
        for step in ("flight", "hotel"):
            for epoch in range(5):
                driver.send(task, str(saga_id), step, epoch)
    assert everything(store.database) == before
