"""What a saga needs when nobody is known to be advancing it."""

from datetime import datetime
from typing import Any

import pytest

from sagas.decision import (
    Decision,
    Dispatch,
    Recorded,
    RetryLater,
    SagaState,
    StepState,
    advance,
)
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    ENDED_NOW,
    NOW,
    TIMING,
    after,
    held,
    made,
    planned,
    present,
    saga_at,
    seconds,
)

PLAN = [planned("a"), planned("b")]


def advanced(
    saga: SagaState, *, alive: bool = False, lost: bool = False, chance: float = 0.0
) -> Decision:
    return advance(saga, alive=lambda _: alive, lost=lost, timing=TIMING, chance=chance)


def holding(operation: Operation, **step: Any) -> SagaState:
    status = "IN_PROGRESS" if operation is ACTION else "COMPENSATING"
    return saga_at(status, PLAN, {"a": held(operation, **step)})


def test_the_holder_is_asked_about_its_own_step() -> None:
    asked = []

    def alive(step: StepState) -> bool:
        asked.append(step)
        return True

    saga = holding(ACTION)
    advance(saga, alive=alive, lost=False, timing=TIMING, chance=0)
    assert asked == [saga.step("a")]


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(("expires_at", "due_at"), [(None, seconds(60)), (seconds(9), seconds(9))])
def test_a_running_step_is_checked_again_when_it_may_be_over(
    operation: Operation, expires_at: datetime | None, due_at: datetime
) -> None:
    saga = holding(operation, expires_at=expires_at)
    assert advanced(saga, alive=True) == Decision(values={"due_at": due_at})


@pytest.mark.parametrize("operation", Operation)
def test_an_attempt_lost_with_its_worker_is_in_doubt_and_retried(
    operation: Operation,
) -> None:
    decision = advanced(holding(operation))
    (change,) = decision.steps
    assert decision.answer == RetryLater(1.0)
    assert decision.note == "taken over"
    error = present(change.values["error" if operation is ACTION else "compensation_error"])
    assert error["type"] == "WorkerLost"
    assert f"Attempt 1 of the {operation} of a was lost with its worker" in error["message"]
    assert after(holding(operation), decision).step("a").lost(operation) == 1


@pytest.mark.parametrize("operation", Operation)
def test_what_is_lost_with_a_worker_uses_up_no_attempt(operation: Operation) -> None:
    counted = "losses" if operation is ACTION else "compensation_losses"
    lost_once = advanced(holding(operation, attempts=2))  # of two, and the first errored
    assert lost_once.answer == RetryLater(1.0)
    lost_twice = advanced(holding(operation, attempts=2, **{counted: 1}))
    assert isinstance(lost_twice.answer, Recorded), "a step that kills its worker must end too"


def test_an_attempt_whose_process_was_killed_for_its_timeout_is_not_lost_with_its_worker() -> None:
    expires_at = seconds(TIMING.lease_s - 0.1)  # the pool has ended it a moment ago
    (change,) = advanced(holding(ACTION, expires_at=expires_at)).steps
    assert present(change.values["error"])["type"] == "AttemptTimedOut"
    assert "losses" not in change.values


def test_an_attempt_whose_worker_is_gone_is_lost_even_if_its_timeout_has_passed_since() -> None:
    (change,) = advanced(holding(ACTION, expires_at=seconds(-60), attended=False)).steps
    assert present(change.values["error"])["type"] == "WorkerLost"
    assert change.values["losses"] == 1


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("expires_at", [NOW, seconds(-1)])
def test_an_attempt_past_its_timeout_is_taken_over_even_if_its_worker_is_alive(
    operation: Operation, expires_at: datetime
) -> None:
    decision = advanced(holding(operation, expires_at=expires_at), alive=True)
    (change,) = decision.steps
    error = present(change.values["error" if operation is ACTION else "compensation_error"])
    assert error["type"] == "AttemptTimedOut"
    assert "did not end within its timeout" in error["message"]
    assert (decision.note, decision.raise_epoch) == ("taken over", True)


@pytest.mark.parametrize("expired", [True, False])
@pytest.mark.parametrize("operation", Operation)
def test_a_last_attempt_that_is_taken_over_is_fenced_even_though_no_retry_follows(
    operation: Operation,
    expired: bool,  # noqa: FBT001
) -> None:
    more = {} if expired else {"losses": 1, "compensation_losses": 1}
    saga = holding(operation, attempts=2, expires_at=NOW if expired else None, **more)
    decision = advanced(saga)
    assert decision.raise_epoch
    assert after(saga, decision).epoch == saga.epoch + 1
    assert isinstance(decision.answer, Recorded)
    assert decision.dispatch is None


def test_a_lost_last_attempt_of_an_action_may_have_happened() -> None:
    saga = holding(ACTION, attempts=2, losses=1)
    decision = advanced(saga)
    assert decision.steps[0].status is StepStatus.UNKNOWN
    assert present(decision.values["failure"])["type"] == "WorkerLost"
    back = advanced(after(saga, decision))
    assert back.path == (SagaStatus.COMPENSATING,)
    assert back.dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_retry_that_waits_in_the_record_is_sent_when_it_is_due_and_not_before() -> None:
    plan = [planned("a", wait=90.0)]
    early = saga_at("IN_PROGRESS", plan, {"a": made("UNKNOWN", waits=True)}, sent_at=None)
    assert advanced(early, lost=True) == Decision(values={"due_at": seconds(1)})
    due = saga_at(
        "IN_PROGRESS", plan, {"a": made("UNKNOWN", waits=True, retry_at=NOW)}, sent_at=None
    )
    assert advanced(due).dispatch == Dispatch(ACTION, ("a",))
    assert advanced(due).note == "sent"


def test_a_compensation_that_waits_in_the_record_is_sent_when_it_is_due() -> None:
    steps = {"a": made("COMPENSATING", waits=True, retry_at=seconds(-5))}
    saga = saga_at("COMPENSATING", PLAN, steps, sent_at=None)
    assert advanced(saga).dispatch == Dispatch(COMPENSATION, ("a",))


@pytest.mark.parametrize("status", ["UNKNOWN", "SUCCESS"])
def test_a_compensation_does_not_wait_for_an_attempt_planned_for_the_action(
    status: str,
) -> None:
    """A cancel ended a backoff, and the message of the compensation was lost."""
    steps = {"a": made(status, waits=True, retry_at=seconds(3_600))}
    saga = saga_at("COMPENSATING", PLAN, steps, sent_at=seconds(-9))
    decision = advanced(saga, lost=True)
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))
    assert decision.note == "sent again"


def test_a_resent_message_makes_the_older_one_void() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=seconds(-9))
    decision = advanced(saga, lost=True)
    assert (decision.raise_epoch, decision.note) == (True, "sent again")
    assert decision.values["sent_at"] == NOW


def test_a_message_is_not_resent_without_evidence_that_it_is_lost() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=seconds(-9_000))
    decision = advanced(saga, lost=False)
    assert (decision.raise_epoch, decision.dispatch) == (False, None)
    assert "sent_at" not in decision.values


@pytest.mark.parametrize("lost", [True, False])
def test_checks_without_progress_become_rarer_up_to_a_limit(lost: bool) -> None:  # noqa: FBT001
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW)
    waits = []
    for _ in range(12):
        decision = advanced(saga, lost=lost)
        waits.append((present(decision.values["due_at"]) - NOW).total_seconds())
        saga = after(saga, decision)
    assert waits[:4] == [6, 12, 24, 48]
    assert all(wait == TIMING.max_check_interval_s for wait in waits[4:])
    assert saga.checks == 12


def test_a_saga_that_was_checked_a_million_times_is_still_due() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, checks=1_000_000)
    assert advanced(saga).values["due_at"] == seconds(TIMING.max_check_interval_s)


def test_a_turn_back_undoes_in_reverse_order_every_step_that_ran_or_may_have_run() -> None:
    plan = [planned(name, undo=name != "c") for name in "abcdefg"]
    steps = {
        "a": made("SUCCESS"),
        "b": made("SKIPPED"),
        "c": made("SUCCESS"),  # it has no compensation
        "d": made("SUCCESS"),
        "e": made("SUCCESS"),
        "f": made("UNKNOWN", attempts=2),
    }
    decision = advanced(saga_at("IN_PROGRESS", plan, steps))
    assert decision.path == (SagaStatus.COMPENSATING,)
    assert decision.dispatch == Dispatch(COMPENSATION, ("f", "e", "d", "a"))
    assert decision.raise_epoch
    sent = {"due_at": seconds(TIMING.lease_s), "checks": 0, "sent_at": NOW}
    assert decision.values == {**sent, "deadline_at": None}


def test_a_step_that_refused_is_not_undone() -> None:
    steps = {"a": made("SUCCESS"), "b": made("FAILED")}
    decision = advanced(saga_at("IN_PROGRESS", PLAN, steps))
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_best_effort_step_that_may_have_happened_is_undone_with_the_rest() -> None:
    plan = [planned("a", best_effort=True), planned("b")]
    steps = {"a": made("UNKNOWN", attempts=2), "b": made("FAILED")}
    decision = advanced(saga_at("IN_PROGRESS", plan, steps))
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))


def test_a_saga_with_nothing_to_undo_is_compensated_at_once() -> None:
    decision = advanced(saga_at("IN_PROGRESS", PLAN, {"a": made("FAILED")}))
    assert decision.path == (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED)
    assert (decision.dispatch, decision.raise_epoch) == (None, True)
    assert decision.values == ENDED_NOW


def test_a_saga_with_a_step_in_doubt_that_nothing_can_undo_is_parked_at_once() -> None:
    plan = [planned("a", undo=False)]
    decision = advanced(saga_at("IN_PROGRESS", plan, {"a": made("UNKNOWN", attempts=2)}))
    assert decision.path == (SagaStatus.COMPENSATING, SagaStatus.FAILED)
    assert present(decision.values["parked"])["steps"] == ["a"]


def test_a_saga_whose_steps_were_all_skipped_completes() -> None:
    steps = {"a": made("SKIPPED"), "b": made("SKIPPED")}
    decision = advanced(saga_at("STARTED", PLAN, steps))
    assert (decision.path, decision.dispatch) == ((SagaStatus.COMPLETED,), None)
    assert decision.values["due_at"] is None


@pytest.mark.parametrize(
    ("status", "steps", "path"),
    [
        ("IN_PROGRESS", {"a": "SUCCESS", "b": "SUCCESS"}, SagaStatus.COMPLETED),
        ("COMPENSATING", {"a": "COMPENSATED", "b": "FAILED"}, SagaStatus.COMPENSATED),
        ("COMPENSATING", {"a": "COMPENSATION_FAILED", "b": "FAILED"}, SagaStatus.FAILED),
    ],
)
def test_a_saga_whose_end_was_not_written_ends_as_its_steps_say(
    status: str, steps: dict[str, str], path: SagaStatus
) -> None:
    saga = saga_at(status, PLAN, {name: made(value) for name, value in steps.items()})
    assert advanced(saga).path == (path,)


def test_the_next_compensation_is_sent_after_one_that_failed_for_good() -> None:
    steps = {"a": made("SUCCESS"), "b": made("COMPENSATION_FAILED")}
    saga = saga_at("COMPENSATING", PLAN, steps, sent_at=None)
    assert advanced(saga).dispatch == Dispatch(COMPENSATION, ("a",))


def test_the_next_step_is_sent_after_a_best_effort_step_that_gave_up() -> None:
    plan = [planned("a", best_effort=True), planned("b")]
    saga = saga_at("IN_PROGRESS", plan, {"a": made("UNKNOWN", attempts=2)}, sent_at=None)
    assert advanced(saga).dispatch == Dispatch(ACTION, ("b",))


def test_the_default_durations_recover_a_lost_message_within_seconds() -> None:
    assert (TIMING.lease_s, TIMING.timer_s, TIMING.max_check_interval_s) == (3.0, 2.0, 60.0)
    saga = saga_at("IN_PROGRESS", PLAN)
    decision = advance(saga, alive=lambda _: False, lost=False, timing=type(TIMING)(), chance=0)
    assert decision.values["due_at"] == seconds(6)


def test_a_lost_compensation_message_does_not_wait_for_the_actions_next_attempt() -> None:
    """The saga is cancelled during a long wait, and the message of the compensation is lost."""
    steps = {"a": made("UNKNOWN", waits=True, retry_at=seconds(3600))}
    saga = saga_at("COMPENSATING", [planned("a", wait=3600.0)], steps)
    assert advanced(saga, lost=True).dispatch == Dispatch(COMPENSATION, ("a",))
