"""When people are told that a step keeps failing."""

import pytest

from sagas.decision import Decision, Errored, Refused, Result, conclude, transition
from sagas.events import Event
from sagas.states import Operation
from tests.support.states import (
    ACTION,
    EPOCH,
    ERROR,
    TIMING,
    TOKEN,
    entries,
    held,
    planned,
    present,
    saga_at,
)

ERRORED = Errored(ERROR)


def errored(
    *,
    attempt: int,
    at_most: int,
    operation: Operation = ACTION,
    result: Result = ERRORED,
    **step: int,
) -> Decision:
    saga = saga_at(
        "IN_PROGRESS" if operation is ACTION else "COMPENSATING",
        [planned("a", attempts=at_most, undo_attempts=at_most, losses=9)],
        {"a": held(operation, attempts=attempt, **step)},
    )
    return conclude(saga, "a", operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(("at_most", "told_at"), [(10, 5), (20, 10), (1000, 10)])
def test_people_are_told_once_when_half_of_a_long_policy_has_failed(
    operation: Operation, at_most: int, told_at: int
) -> None:
    told = [
        attempt
        for attempt in range(1, min(at_most, 40))
        if errored(attempt=attempt, at_most=at_most, operation=operation).failing
    ]
    assert told == [told_at]


@pytest.mark.parametrize("at_most", [2, 9])
def test_a_short_policy_is_over_before_anybody_could_help(at_most: int) -> None:
    assert not any(errored(attempt=n, at_most=at_most).failing for n in range(1, at_most + 1))


def test_what_was_lost_with_a_worker_is_no_failure_of_the_step() -> None:
    assert errored(attempt=7, at_most=10, losses=2).failing
    assert not errored(attempt=5, at_most=10, losses=2).failing
    lost = Errored(ERROR, lost=True)
    assert not errored(attempt=6, at_most=10, result=lost).failing


def test_a_step_that_is_not_tried_again_keeps_failing_no_longer() -> None:
    assert not errored(attempt=5, at_most=10, result=Refused(ERROR)).failing
    assert not errored(attempt=5, at_most=10, result=Errored(ERROR, final=True)).failing


def test_the_history_and_the_alert_say_which_step_and_why() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a", attempts=10)], {"a": held(ACTION, attempts=5)})
    decision = errored(attempt=5, at_most=10)
    failing = present(decision.failing)
    assert failing["steps"] == ["a"]
    assert "The action of a has failed 5 times and is tried again, 10 times" in failing["reason"]
    assert transition(saga, lambda _: decision).alert == "failing"
    assert [entry.event for entry in entries(saga, decision)] == ["UNKNOWN", Event.KEEPS_FAILING]
