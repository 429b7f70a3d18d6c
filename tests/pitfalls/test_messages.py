"""Pitfalls of other engines with messages, recovery and definitions, each as a test."""

from functools import partial
from typing import Any

import pytest
from celery import Celery
from celery.utils.functional import arity_greater
from sqlalchemy import select

from sagas.decision import Dropped, Fenced, RetryLater, Succeeded, advance, conclude
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.runtime.messages import TURN_BACK, Link
from sagas.states import Operation, SagaStatus
from tests.support.records import (
    ERRORED,
    PLAN,
    claimer,
    claims,
    concludes,
    move,
    saga_row,
    started,
    turned_back,
)
from tests.support.shop import order_saga, reserve
from tests.support.states import EPOCH, TIMING, TOKEN, held, planned, saga_at

LONG = planned("a", wait=60)


def test_07_a_long_wait_is_kept_in_the_record_and_not_in_the_broker() -> None:
    saga = saga_at("IN_PROGRESS", [LONG], {"a": held(Operation.ACTION)})
    decision = conclude(
        saga, "a", Operation.ACTION, ERRORED, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0
    )
    assert decision.answer == RetryLater(60)
    assert decision.dispatch is None


def test_08_an_errback_of_a_step_that_succeeded_turns_nothing_back(store: Store) -> None:
    # Celery sends one when it could not publish the next link.
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    moved = move(store, saga_id)
    assert moved.status is SagaStatus.IN_PROGRESS
    assert moved.decision.dispatch is not None
    assert moved.decision.dispatch.steps == ("hotel",)


def test_09_the_errback_is_a_message_and_never_runs_in_the_process_that_failed(
    app: Celery,
) -> None:
    # Celery runs an errback with more than one argument inline, unless it is bound.
    app.finalize()
    header = app.tasks[TURN_BACK].__header__
    assert isinstance(header, partial) or not arity_greater(header, 1)


def test_10_a_killed_worker_sends_no_errback_and_its_step_is_still_found() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a"), planned("b")], {"a": held(Operation.ACTION)})
    decision = advance(saga, alive=lambda _: False, lost=False, timing=TIMING, chance=0)
    assert isinstance(decision.answer, RetryLater)
    assert decision.raise_epoch


def test_11_a_start_that_no_broker_accepted_is_due(store: Store) -> None:
    saga_id = started(store)
    assert saga_row(store.database, saga_id).due_at is not None
    assert move(store, saga_id).decision.dispatch is not None


def test_12_a_message_before_the_row_or_after_the_end_changes_nothing(store: Store) -> None:
    decide = claimer("flight", Operation.ACTION, "late")
    assert store.transition(uuid7(), decide, actor="worker 1") is None
    saga_id = turned_back(store)
    before = saga_row(store.database, saga_id)
    made_of_it = store.transition(saga_id, decide, actor="worker 1")
    assert made_of_it is not None
    assert isinstance(made_of_it.decision.answer, Dropped)
    assert saga_row(store.database, saga_id) == before


@pytest.mark.parametrize("args", [(), ("no id", "flight", 1), (str(uuid7()), "flight", "1"), None])
def test_13_a_poisoned_message_is_parsed_as_none(args: Any) -> None:
    assert Link.read(args) is None


def test_14_one_of_two_writers_wins(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    first = store.peek(saga_id)
    assert first is not None
    move(store, saga_id)  # a take-over in the meantime

    def late(saga: Any) -> Any:
        return conclude(
            saga,
            "flight",
            Operation.ACTION,
            Succeeded("1"),
            epoch=first.epoch,
            token="token",  # noqa: S106 - it names an execution
            timing=TIMING,
            chance=0,
        )

    answered = store.transition(saga_id, late, actor="worker 1")
    assert answered is not None
    assert answered.decision.answer == Fenced()


def test_15_a_saga_that_somebody_advances_is_left_alone() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a"), planned("b")], {"a": held(Operation.ACTION)})
    decision = advance(saga, alive=lambda _: True, lost=True, timing=TIMING, chance=0)
    assert (decision.path, decision.dispatch, decision.steps) == ((), None, ())


def test_19_a_saga_keeps_the_plan_it_started_with_and_finds_its_steps_by_name(store: Store) -> None:
    older = started(store, "older")
    claims(store, older, "flight")
    concludes(store, older, "flight", Succeeded("1"))
    newer = started(store, "newer", steps=(planned("visa"), *PLAN.steps))
    saga = store.peek(older)
    assert saga is not None
    assert [step.name for step in saga.plan] == ["flight", "hotel"]
    assert saga.step("flight").status == "SUCCESS"
    assert saga_row(store.database, older).plan != saga_row(store.database, newer).plan
    columns = {column.name for column in t.step.columns}
    assert "name" in columns
    assert not columns & {"index", "position", "number"}


def test_21_nothing_deletes_a_saga(store: Store) -> None:
    saga_id = turned_back(store)
    kept = select(t.history.c.id).where(t.history.c.saga_id == saga_id)
    assert len(store.database.read(lambda c: c.execute(kept).all())) > 5


def test_a_step_is_a_separate_task_and_does_not_run_inline(runtime: Runtime) -> None:
    runtime.app.finalize()
    task = runtime.app.tasks[reserve.name]
    assert task.acks_late is False
    assert order_saga.plan.steps[0].action.task == task.name
