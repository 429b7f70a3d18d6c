"""The point of no return."""

from typing import Any

import pytest

from sagas.decision import Dispatch, SagaState, advance
from sagas.states import SagaStatus
from tests.support.states import ACTION, COMPENSATION, NOW, TIMING, made, planned, saga_at

PLAN = (planned("a"), planned("b", pivot=True, undo=False), planned("c", undo=False), planned("d"))


def advanced(steps: dict[str, dict[str, Any]], plan: Any = PLAN) -> Any:
    saga = saga_at("IN_PROGRESS", plan, steps, sent_at=None)
    return advance(saga, alive=lambda _: True, lost=False, timing=TIMING, chance=0)


@pytest.mark.parametrize("status", ["FAILED", "UNKNOWN"])
def test_a_step_that_fails_for_good_after_the_pivot_parks_the_saga(status: str) -> None:
    steps = {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made(status, attempts=2)}
    decision = advanced(steps)
    assert (decision.path, decision.dispatch) == ((SagaStatus.FAILED,), None)
    assert decision.raise_epoch
    assert decision.values["parked"]["steps"] == ["c"]
    assert decision.values["parked"]["operation"] == ACTION
    assert "there is no way back" in decision.values["parked"]["reason"]
    assert (decision.values["due_at"], decision.values["ended_at"]) == (None, NOW)


def test_a_pivot_that_refuses_lets_the_saga_turn_back() -> None:
    decision = advanced({"a": made("SUCCESS"), "b": made("FAILED")})
    assert decision.path == (SagaStatus.COMPENSATING,)
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_pivot_in_doubt_that_nothing_can_undo_parks_the_saga_with_everything_in_place() -> None:
    decision = advanced({"a": made("SUCCESS"), "b": made("UNKNOWN", attempts=2)})
    assert (decision.path, decision.dispatch) == ((SagaStatus.FAILED,), None)
    assert decision.values["parked"]["steps"] == ["b"]
    assert "may have happened or not" in decision.values["parked"]["reason"]


def test_a_pivot_in_doubt_that_can_be_undone_is_undone_with_the_rest() -> None:
    plan = (planned("a"), planned("b", pivot=True), planned("c"))
    decision = advanced({"a": made("SUCCESS"), "b": made("UNKNOWN", attempts=2)}, plan)
    assert decision.dispatch == Dispatch(COMPENSATION, ("b", "a"))


def test_a_best_effort_step_after_the_pivot_may_fail() -> None:
    plan = (planned("a"), planned("b", pivot=True), planned("c", best_effort=True), planned("d"))
    steps = {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made("FAILED")}
    assert advanced(steps, plan).dispatch == Dispatch(ACTION, ("d",))


def test_a_pivot_skipped_by_its_condition_is_not_a_pivot() -> None:
    steps = {"a": made("SUCCESS"), "b": made("SKIPPED"), "c": made("FAILED")}
    assert advanced(steps).dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_pivot_skipped_by_a_person_counts_as_done() -> None:
    skipped = {**made("SKIPPED"), "attempt": 2}
    steps = {"a": made("SUCCESS"), "b": skipped, "c": made("FAILED")}
    assert advanced(steps).path == (SagaStatus.FAILED,)


def test_a_read_only_step_in_doubt_leaves_nothing_behind() -> None:
    plan = (planned("a"), planned("b", undo=False, read_only=True))
    steps = {"a": made("COMPENSATED"), "b": made("UNKNOWN", attempts=2)}
    saga: SagaState = saga_at("COMPENSATING", plan, steps)
    decision = advance(saga, alive=lambda _: True, lost=False, timing=TIMING, chance=0)
    assert decision.path == (SagaStatus.COMPENSATED,)
