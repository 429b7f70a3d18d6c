"""Pitfalls of other engines with outcomes and the way back, each as a named test."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Column, Engine, MetaData, String, Table, create_engine, func, insert, select

from sagas import Context, HangingAction, barrier
from sagas.decision import (
    Decision,
    Dispatch,
    Errored,
    Result,
    SagaState,
    Succeeded,
    advance,
    cancel,
    conclude,
)
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    TIMING,
    TOKEN,
    after,
    held,
    made,
    planned,
    present,
    saga_at,
)

PLAN = (planned("a"), planned("b"), planned("c"))
BROKE = Errored({"type": "TimeoutError", "message": "no answer"})

effects = Table("effect", MetaData(), Column("key", String(200)))


@pytest.fixture
def participant(tmp_path: object) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/participant.db")
    effects.metadata.create_all(engine)
    barrier.create_tables(engine)
    yield engine
    engine.dispose()


def context(operation: Operation) -> Context:
    return Context(saga_id=UUID(int=1), key="T-1", step="pay", operation=operation, attempt=1)


def moved(saga: SagaState, *, alive: bool = True) -> Decision:
    return advance(saga, alive=lambda _: alive, lost=False, timing=TIMING, chance=0)


def ended(saga: SagaState, step: str, operation: Operation, result: Result) -> Decision:
    return conclude(
        saga, step, operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0
    )


def test_01_a_timed_out_step_may_have_happened_and_is_undone_by_its_key_without_an_output() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS"), "b": held(ACTION, attempts=2)})
    decision = ended(saga, "b", ACTION, BROKE)
    assert decision.steps[0].status is StepStatus.UNKNOWN
    turned = moved(after(saga, decision))
    assert turned.dispatch == Dispatch(COMPENSATION, ("b", "a"))
    assert context(COMPENSATION).output is None
    assert context(COMPENSATION).action_key == context(ACTION).idempotency_key


def test_02_an_undo_before_its_action_leaves_a_tombstone_and_the_late_action_is_refused(
    participant: Engine,
) -> None:
    def pay() -> None:
        connection.execute(insert(effects).values(key="paid"))

    with participant.begin() as connection:
        assert context(COMPENSATION).once(connection, pay) is None
    with participant.begin() as connection, pytest.raises(HangingAction):
        context(ACTION).once(connection, pay)
    with participant.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(effects)) == 0


def test_03_an_action_is_not_undone_while_it_is_still_running() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": held(ACTION)})
    decision = cancel(saga, reason="…", timing=TIMING)
    assert (decision.path, decision.dispatch) == ((), None)


def test_05_a_step_that_never_ran_is_not_undone() -> None:
    steps = {"a": made("SUCCESS"), "b": made("SKIPPED"), "c": made("FAILED")}
    plan = (*PLAN, planned("d"))
    turned = moved(saga_at("IN_PROGRESS", plan, steps))
    assert turned.dispatch == Dispatch(COMPENSATION, ("a",))


def test_06_the_undo_list_is_built_from_the_record_and_runs_backwards() -> None:
    steps = {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made("FAILED")}
    turned = moved(saga_at("IN_PROGRESS", PLAN, steps))
    assert turned.dispatch == Dispatch(COMPENSATION, ("b", "a"))


def test_16_a_crash_during_a_compensation_is_an_attempt_that_is_repeated() -> None:
    steps = {"a": held(COMPENSATION), "b": made("FAILED")}
    then = moved(saga_at("COMPENSATING", PLAN, steps), alive=False)
    assert then.dispatch is not None
    assert then.dispatch.operation is COMPENSATION
    assert then.raise_epoch


def test_17_a_compensation_that_always_fails_gives_up_and_the_others_still_run() -> None:
    steps = {"a": made("SUCCESS"), "b": held(COMPENSATION, attempts=2), "c": made("FAILED")}
    saga = saga_at("COMPENSATING", PLAN, steps)
    decision = ended(saga, "b", COMPENSATION, BROKE)
    assert decision.steps[0].status is StepStatus.COMPENSATION_FAILED
    assert (decision.path, decision.values["due_at"]) == (
        (),
        saga.now + timedelta(seconds=TIMING.lease_s),
    )


def test_18_a_saga_is_not_compensated_while_an_undo_has_failed() -> None:
    steps = {"a": held(COMPENSATION), "b": made("COMPENSATION_FAILED"), "c": made("FAILED")}
    saga = saga_at("COMPENSATING", PLAN, steps)
    decision = ended(saga, "a", COMPENSATION, Succeeded())
    assert decision.path == (SagaStatus.FAILED,)
    assert present(decision.values["parked"])["steps"] == ["b"]


def test_20_a_successful_undo_does_not_hide_the_first_failure() -> None:
    failure = {"step": "b", "type": "StepFailed", "message": "sold out"}
    steps = {"a": held(COMPENSATION), "b": made("FAILED")}
    saga = saga_at("COMPENSATING", PLAN, steps, failure=failure)
    decision = ended(saga, "a", COMPENSATION, Succeeded())
    assert decision.path == (SagaStatus.COMPENSATED,)
    assert after(saga, decision).failure == failure


def test_24_not_every_failure_turns_back_because_some_need_a_person() -> None:
    plan = (planned("a"), planned("b", pivot=True, undo=False), planned("c"))
    steps = {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made("FAILED")}
    then = moved(saga_at("IN_PROGRESS", plan, steps))
    assert (then.path, then.dispatch) == ((SagaStatus.FAILED,), None)


def test_a_cancel_in_the_middle_of_a_backoff_takes_effect() -> None:
    steps = {"a": made("UNKNOWN", waits=True, doubtful=True)}
    decision = cancel(saga_at("IN_PROGRESS", PLAN, steps), reason="…", timing=TIMING)
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_cancel_does_not_kill_a_running_compensation() -> None:
    saga = saga_at("COMPENSATING", PLAN, {"a": held(COMPENSATION)})
    decision = cancel(saga, reason="…", timing=TIMING)
    assert (decision.path, decision.values, decision.raise_epoch) == ((), {}, False)
