"""``sagas check`` finds the live sagas that this code could not finish."""

import json
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import update

from sagas.plan import Plan, PlannedStep
from sagas.record import tables as t
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from sagas.states import SagaStatus
from tests.support import cli_app
from tests.support.command_line import Run, output_of
from tests.support.records import new_saga
from tests.support.shop import order_saga

RESERVE, CHARGE, NOTIFY = order_saga.plan.steps


@pytest.fixture
def queues() -> Iterator[None]:
    """Let a test set the queues that the app lists."""
    yield
    cli_app.app.conf.task_queues = None


def started(store: Store, plan: Plan, *keys: str) -> list[UUID]:
    """Start sagas with a plan that an older version of the shop declared."""
    news: list[NewSaga] = [replace(new_saga(key), plan=plan) for key in keys]
    return store.database.write(lambda c: insert_sagas(c, store.plans, news, lease_s=3))


def order(*steps: PlannedStep) -> Plan:
    return Plan("shop.order", steps)


def stand(store: Store, status: SagaStatus, *ids: UUID) -> None:
    statement = update(t.saga).where(t.saga.c.id.in_(ids)).values(status=status)
    store.database.write(lambda c: c.execute(statement))


def renamed(step: PlannedStep, task: str) -> PlannedStep:
    return replace(step, action=replace(step.action, task=task))


def test_sagas_of_an_older_plan_are_counted_with_their_steps_and_what_to_do(
    run_saga: Run, store: Store
) -> None:
    plan = order(RESERVE, renamed(CHARGE, "shop.charge_by_card"), NOTIFY)
    ids = started(store, plan, "A", "B", "C", "D", "E")
    stand(store, SagaStatus.COMPLETED, ids[0])
    stand(store, SagaStatus.FAILED, ids[1])
    stand(store, SagaStatus.COMPENSATING, ids[2])
    result = run_saga("check")
    assert result.exit_code == 1
    assert (
        "4 live sagas of 'shop.order' cannot be finished by this code, 1 of them parked. "
        "It lacks:\n"
        "  task shop.charge_by_card, the action of step shop.charge\n"
    ) in result.stdout
    assert "Keep these until the sagas have ended" in result.stdout
    assert str(ids[0]) not in result.stdout
    (found,) = json.loads(run_saga("check", "--json").stdout)["plans"]
    assert (found["count"], found["parked"], len(found["examples"])) == (4, 1, 3)


def test_older_sagas_are_fine_when_this_code_has_all_they_need(run_saga: Run, store: Store) -> None:
    # Fewer steps, another order, another policy, and no definition of that name any more.
    started(store, order(NOTIFY, replace(RESERVE, compensation=None)), "A")
    started(store, Plan("shop.forgotten", (RESERVE,)), "B")
    assert "Every live saga can be finished" in output_of(run_saga("check"))


def test_a_missing_compensation_and_a_missing_probe_are_found(run_saga: Run, store: Store) -> None:
    assert CHARGE.compensation
    undo = replace(CHARGE.compensation, task="shop.give_back")
    started(store, order(replace(CHARGE, compensation=undo), replace(RESERVE, probe=True)), "A")
    shown = run_saga("check").stdout
    assert "task shop.give_back, the compensation of step shop.charge" in shown
    assert "the probe of shop.reserve, of step shop.reserve" in shown


def test_a_queue_is_missing_only_when_the_code_lists_all_its_queues(
    run_saga: Run, store: Store, queues: None
) -> None:
    assert queues is None
    started(store, order(replace(RESERVE, action=replace(RESERVE.action, queue="old"))), "A")
    assert run_saga("check").exit_code == 0
    cli_app.app.conf.task_queues = {"celery": {"exchange": "celery"}}
    assert "queue old, of the action of step shop.reserve" in run_saga("check").stdout


def test_a_plan_of_a_newer_engine_is_found_and_its_saga_can_be_shown(
    run_saga: Run, store: Store
) -> None:
    (saga_id,) = started(store, order(RESERVE), "A")
    newer = order(RESERVE).to_json().replace('"pivot"', '"pivot_of_a_newer_kind"')
    store.database.write(lambda c: c.execute(update(t.plan).values(body=newer)))
    result = run_saga("check")
    assert result.exit_code == 1
    assert "cannot be read by this version of celery-sagas" in result.stdout
    assert "Deploy the version of celery-sagas that wrote it." in result.stdout
    assert str(saga_id) in output_of(run_saga("show", "A"))
