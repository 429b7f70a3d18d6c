"""Who may run a step, and what a granted claim writes."""

import pytest

from sagas.decision import Decision, Done, Dropped, Granted, Holder, SagaState, claim
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    NOW,
    TIMING,
    TOKEN,
    held,
    made,
    planned,
    saga_at,
    seconds,
)

HOLDER: Holder = {"worker": None, "hostname": "one@here", "task_id": "t-1"}


NEW = "an execution that holds nothing"


def claimed(
    saga: SagaState, name: str, operation: Operation, *, epoch: int = EPOCH, token: str = NEW
) -> Decision:
    return claim(saga, name, operation, epoch=epoch, token=token, holder=HOLDER, timing=TIMING)


def reason(decision: Decision) -> str:
    assert isinstance(decision.answer, Dropped)
    return decision.answer.reason


def test_a_step_waits_for_every_step_before_it() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a"), planned("b")], {"a": held(ACTION)})
    assert reason(claimed(saga, "b", ACTION)) == "it is not its turn"


def test_a_compensation_waits_for_every_step_after_it() -> None:
    both = {"a": made("SUCCESS"), "b": made("SUCCESS")}
    saga = saga_at("COMPENSATING", [planned("a"), planned("b")], both)
    assert reason(claimed(saga, "a", COMPENSATION)) == "it is not its turn"


def test_a_step_that_another_execution_holds_is_not_granted() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a")], {"a": held(ACTION)})
    assert reason(claimed(saga, "a", ACTION)) == "it is running elsewhere"


@pytest.mark.parametrize("operation", Operation)
def test_a_step_with_a_retry_time_in_the_record_is_not_granted_before_then(
    operation: Operation,
) -> None:
    """No message was sent for it, so this one is forged. It would use up the attempts."""
    undoing = operation is COMPENSATION
    step = made("COMPENSATING" if undoing else "UNKNOWN", waits=True)
    status = SagaStatus.COMPENSATING if undoing else SagaStatus.IN_PROGRESS
    saga = saga_at(status, [planned("a", wait=60.0)], {"a": step}, sent_at=None)
    assert reason(claimed(saga, "a", operation)) == "it is not its time"


def test_a_compensation_is_granted_even_if_its_action_has_a_later_attempt_planned() -> None:
    step = made("UNKNOWN", waits=True, retry_at=seconds(3_600))
    saga = saga_at("COMPENSATING", [planned("a")], {"a": step}, sent_at=None)
    assert isinstance(claimed(saga, "a", COMPENSATION).answer, Granted)


def test_the_first_step_of_a_delayed_saga_is_not_granted_early() -> None:
    saga = saga_at("STARTED", [planned("a")], sent_at=None, epoch=1)
    assert reason(claimed(saga, "a", ACTION, epoch=1)) == "it is not its time"


def test_a_message_that_the_broker_seemed_to_refuse_is_still_granted() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a")], sent_at=None)
    assert isinstance(claimed(saga, "a", ACTION).answer, Granted)


def test_a_message_of_an_older_epoch_is_dropped_with_both_epochs_in_the_reason() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a")])
    assert reason(claimed(saga, "a", ACTION, epoch=EPOCH - 1)) == (
        f"its epoch {EPOCH - 1} is over, the saga is at {EPOCH}"
    )


def test_a_message_for_the_other_direction_is_dropped() -> None:
    saga = saga_at("COMPENSATING", [planned("a")], {"a": made("SUCCESS")})
    assert reason(claimed(saga, "a", ACTION)) == "the saga is COMPENSATING"


def test_a_step_that_the_plan_does_not_have_is_dropped() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a")])
    assert reason(claimed(saga, "z", ACTION)) == "the saga has no step 'z'"


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_claim_whose_reply_was_lost_is_granted_again_and_written_once(
    operation: Operation, attempt: int
) -> None:
    status = "IN_PROGRESS" if operation is ACTION else "COMPENSATING"
    saga = saga_at(status, [planned("a")], {"a": held(operation, attempts=attempt)})
    assert claimed(saga, "a", operation, token=TOKEN) == Decision(Granted(attempt))


def test_a_token_is_good_only_for_the_attempt_it_was_granted_for() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a")], {"a": made("SUCCESS")})
    assert claimed(saga, "a", ACTION, token=TOKEN).answer == Done()


def test_the_first_claim_writes_who_holds_the_step_and_since_when() -> None:
    decision = claimed(saga_at("STARTED", [planned("a")]), "a", ACTION)
    (change,) = decision.steps
    assert (change.attempt, change.status, change.detail) == (1, StepStatus.RUNNING, HOLDER)
    assert change.values == {
        **HOLDER,
        "attempt": 1,
        "claim": NEW,
        "retry_at": None,
        "expires_at": None,
        "ended_at": None,
        "started_at": NOW,
    }


def test_the_first_compensation_leaves_the_times_and_attempts_of_the_action_alone() -> None:
    saga = saga_at("COMPENSATING", [planned("a")], {"a": made("UNKNOWN", attempts=2)})
    (change,) = claimed(saga, "a", COMPENSATION).steps
    assert (change.attempt, change.status) == (1, StepStatus.COMPENSATING)
    assert change.values["compensation_started_at"] == NOW
    assert change.values["compensation_attempt"] == 1
    assert change.values["compensation_ended_at"] is None
    assert {"attempt", "started_at", "ended_at"}.isdisjoint(change.values)


@pytest.mark.parametrize("operation", Operation)
def test_the_attempts_of_one_direction_do_not_use_up_those_of_the_other(
    operation: Operation,
) -> None:
    plan = [planned("a", attempts=5, undo_attempts=5)]
    if operation is ACTION:
        saga = saga_at(
            "IN_PROGRESS", plan, {"a": made("UNKNOWN", waits=True, compensation_attempt=4)}
        )
    else:
        saga = saga_at("COMPENSATING", plan, {"a": made("UNKNOWN", attempts=5)})
    answer = claimed(saga, "a", operation).answer
    assert answer == Granted(2 if operation is ACTION else 1)


def test_an_attempt_without_a_timeout_is_checked_now_and_then() -> None:
    decision = claimed(saga_at("IN_PROGRESS", [planned("a")], checks=3), "a", ACTION)
    assert decision.values == {
        "due_at": seconds(TIMING.max_check_interval_s),
        "checks": 0,
        "sent_at": None,
    }


@pytest.mark.parametrize("operation", Operation)
def test_an_attempt_with_a_timeout_expires_a_lease_after_its_process_is_killed(
    operation: Operation,
) -> None:
    status = "IN_PROGRESS" if operation is ACTION else "COMPENSATING"
    steps = {} if operation is ACTION else {"a": made("SUCCESS")}
    decision = claimed(saga_at(status, [planned("a", timeout=10)], steps), "a", operation)
    (change,) = decision.steps
    over = seconds(10 + TIMING.grace_s + TIMING.lease_s)
    assert change.values["expires_at"] == over
    assert decision.values["due_at"] == over


def test_the_first_claim_puts_the_saga_in_progress() -> None:
    plan = [planned("a"), planned("b")]
    first = claimed(saga_at("STARTED", plan), "a", ACTION)
    second = claimed(saga_at("IN_PROGRESS", plan, {"a": made("SUCCESS")}), "b", ACTION)
    assert (first.path, second.path) == ((SagaStatus.IN_PROGRESS,), ())


@pytest.mark.parametrize("status", ["FAILED", "UNKNOWN"])
def test_a_best_effort_step_that_gave_up_is_done_and_gets_no_further_attempt(status: str) -> None:
    plan = [planned("a", best_effort=True), planned("b")]
    saga = saga_at("IN_PROGRESS", plan, {"a": made(status, attempts=2)})
    assert claimed(saga, "a", ACTION).answer == Done()
    assert claimed(saga, "b", ACTION).answer == Granted(1)


def test_a_best_effort_step_that_will_be_retried_is_not_done() -> None:
    plan = [planned("a", best_effort=True), planned("b")]
    saga = saga_at("IN_PROGRESS", plan, {"a": made("UNKNOWN", waits=True)})
    assert claimed(saga, "a", ACTION).answer == Granted(2)
    assert reason(claimed(saga, "b", ACTION)) == "it is not its turn"


def test_a_message_that_reaches_another_steps_task_is_void() -> None:
    saga = saga_at("IN_PROGRESS", (planned("a"), planned("b")), {"a": made("SUCCESS")})

    def answer(task: str) -> object:
        decision = claim(
            saga, "b", ACTION, epoch=EPOCH, token=NEW, holder=HOLDER, timing=TIMING, task=task
        )
        return decision.answer

    assert answer("a") == Dropped("a is not the task of the action of b")
    assert answer("b.undo") == Dropped("b.undo is not the task of the action of b")
    assert isinstance(answer("b"), Granted)
