"""Which call a saga is waiting for."""

from typing import Any

import pytest

from sagas.decision import awaited_call, remaining
from sagas.decision.progress import call_of
from sagas.states import ENDED, SagaStatus
from tests.support.states import ACTION, COMPENSATION, held, made, planned, saga_at

PLAN = [planned("a"), planned("b")]


@pytest.mark.parametrize(
    ("status", "steps", "task"),
    [
        ("STARTED", {}, "a"),
        ("IN_PROGRESS", {"a": made("SUCCESS")}, "b"),
        ("IN_PROGRESS", {"a": made("UNKNOWN", waits=True)}, "a"),
        ("IN_PROGRESS", {"a": held(ACTION)}, None),  # it waits for an attempt
        ("IN_PROGRESS", {"a": made("FAILED")}, None),  # it waits for its turn-back
        ("IN_PROGRESS", {"a": made("UNKNOWN", attempts=2)}, None),
        ("IN_PROGRESS", {"a": made("SUCCESS"), "b": made("SUCCESS")}, None),
        ("COMPENSATING", {"a": made("SUCCESS"), "b": made("FAILED")}, "a.undo"),
        ("COMPENSATING", {"a": made("SUCCESS"), "b": made("SUCCESS")}, "b.undo"),
        ("COMPENSATING", {"a": made("COMPENSATING", waits=True)}, "a.undo"),
        ("COMPENSATING", {"a": held(COMPENSATION)}, None),
        ("COMPENSATING", {"a": made("COMPENSATED")}, None),
        # Its outcome is in doubt, so the saga waits for the message that undoes it.
        ("COMPENSATING", {"a": made("UNKNOWN", attempts=2)}, "a.undo"),
    ],
)
def test_a_saga_waits_for_the_message_of_the_step_whose_turn_it_is(
    status: str, steps: dict[str, Any], task: str | None
) -> None:
    call = awaited_call(saga_at(status, PLAN, steps))
    assert (call.task if call else None) == task


@pytest.mark.parametrize("status", sorted(ENDED))
def test_a_saga_that_has_ended_waits_for_nothing(status: SagaStatus) -> None:
    assert awaited_call(saga_at(status, PLAN)) is None


def test_nothing_remains_to_be_done_once_all_steps_are_settled() -> None:
    steps = {"a": made("SUCCESS"), "b": made("SKIPPED")}
    assert remaining(saga_at("IN_PROGRESS", PLAN, steps), ACTION) is None


def test_a_step_without_a_compensation_has_no_call_to_undo_it() -> None:
    saga = saga_at("COMPENSATING", [planned("a", undo=False)], {"a": made("SUCCESS")})
    with pytest.raises(AssertionError, match="a has no compensation"):
        call_of(saga, "a", COMPENSATION)
