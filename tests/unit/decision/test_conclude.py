"""What the end of an attempt means for its step and its saga."""

from types import SimpleNamespace
from typing import Any

import pytest

from sagas.decision import (
    AttemptError,
    Decision,
    Dispatch,
    Errored,
    Recorded,
    Refused,
    Result,
    RetryLater,
    SagaState,
    StepChange,
    Succeeded,
    conclude,
)
from sagas.plan import PlannedCall, PlannedStep
from sagas.retry import Retry
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    ENDED_NOW,
    EPOCH,
    NOW,
    TIMING,
    TOKEN,
    after,
    held,
    made,
    planned,
    present,
    saga_at,
    seconds,
)

COMPENSATING = StepStatus.COMPENSATING
ERROR: AttemptError = {
    "type": "OSError",
    "message": "no route",
    "code": None,
    "traceback": "File …",
}
BRIEF = {"type": "OSError", "message": "no route", "code": None}


def concluded(
    saga: SagaState, name: str, operation: Operation, result: Result, *, chance: float = 0.0
) -> Decision:
    return conclude(
        saga, name, operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=chance
    )


def the_change(decision: Decision) -> StepChange:
    (change,) = decision.steps
    return change


def acting(**step: Any) -> SagaState:
    plan = [planned("a"), planned("b", **step.pop("planned", {}))]
    return saga_at("IN_PROGRESS", plan, {"a": made("SUCCESS"), "b": held(ACTION, **step)})


def undoing(**step: Any) -> SagaState:
    plan = [planned("a"), planned("b", **step.pop("planned", {}))]
    return saga_at("COMPENSATING", plan, {"a": made("SUCCESS"), "b": held(COMPENSATION, **step)})


def test_a_success_keeps_the_output_and_forgets_the_error_of_earlier_attempts() -> None:
    change = the_change(concluded(acting(attempts=2), "b", ACTION, Succeeded('"seat 4"')))
    assert change.status is StepStatus.SUCCESS
    known = {"output": '"seat 4"', "error": None, "doubtful": False}
    assert change.values == {**known, "ended_at": NOW}


def test_a_compensation_that_succeeds_leaves_the_output_of_its_action_alone() -> None:
    change = the_change(concluded(undoing(), "b", COMPENSATION, Succeeded("null")))
    assert change.status is StepStatus.COMPENSATED
    assert change.values == {"compensation_ended_at": NOW}


@pytest.mark.parametrize("operation", Operation)
def test_a_success_records_that_the_next_message_is_on_its_way(operation: Operation) -> None:
    plan = [planned("a"), planned("b")]
    if operation is ACTION:
        saga = saga_at("IN_PROGRESS", plan, {"a": held(ACTION)}, checks=4)
        decision = concluded(saga, "a", ACTION, Succeeded())
    else:
        decision = concluded(undoing(), "b", COMPENSATION, Succeeded())
    assert decision.values == {"due_at": seconds(TIMING.lease_s), "checks": 0, "sent_at": NOW}
    assert decision.dispatch is None


@pytest.mark.parametrize("result", [Refused(ERROR), Errored(ERROR)])
def test_a_final_failure_records_that_no_message_is_on_its_way(result: Result) -> None:
    decision = concluded(acting(attempts=2), "b", ACTION, result)
    assert decision.values["sent_at"] is None
    assert decision.values["due_at"] == seconds(TIMING.lease_s)


def test_the_saga_ends_with_its_last_step() -> None:
    decision = concluded(acting(), "b", ACTION, Succeeded())
    assert (decision.answer, decision.path) == (Recorded(ended=True), (SagaStatus.COMPLETED,))
    assert decision.values == ENDED_NOW


def test_the_saga_ends_with_its_last_step_even_if_later_ones_are_skipped() -> None:
    plan = [planned("a"), planned("b")]
    saga = saga_at("IN_PROGRESS", plan, {"a": held(ACTION), "b": made("SKIPPED")})
    assert concluded(saga, "a", ACTION, Succeeded()).path == (SagaStatus.COMPLETED,)


def test_the_saga_is_compensated_with_its_last_compensation() -> None:
    plan = [planned("a"), planned("b")]
    steps = {"a": held(COMPENSATION), "b": made("COMPENSATED")}
    decision = concluded(saga_at("COMPENSATING", plan, steps), "a", COMPENSATION, Succeeded())
    assert (decision.answer, decision.path) == (Recorded(ended=True), (SagaStatus.COMPENSATED,))
    assert "parked" not in decision.values


def test_a_refusal_is_never_retried() -> None:
    decision = concluded(acting(planned={"attempts": 9}), "b", ACTION, Refused(ERROR))
    assert decision.answer == Recorded()
    assert the_change(decision).status is StepStatus.FAILED
    assert the_change(decision).values == {
        "error": ERROR,
        "retry_at": None,
        "ended_at": NOW,
        "doubtful": False,
    }


@pytest.mark.parametrize("operation", Operation)
def test_an_attempt_that_was_cut_off_with_its_process_is_counted_apart(
    operation: Operation,
) -> None:
    saga = (acting if operation is ACTION else undoing)(attempts=2)
    change = the_change(concluded(saga, "b", operation, Errored(ERROR, lost=True)))
    counted = "losses" if operation is ACTION else "compensation_losses"
    assert change.values[counted] == 1  # type: ignore[literal-required]
    assert (change.detail or {})["losses"] == 1
    assert (change.detail or {})["retry_in_s"] == 1.0
    assert change.status is (StepStatus.UNKNOWN if operation is ACTION else COMPENSATING)


@pytest.mark.parametrize("operation", Operation)
def test_a_step_that_is_lost_too_often_with_its_worker_has_failed(operation: Operation) -> None:
    saga = (acting if operation is ACTION else undoing)(losses=1, compensation_losses=1)
    assert concluded(saga, "b", operation, Errored(ERROR, lost=True)).answer == Recorded()


def test_the_losses_of_an_action_do_not_count_for_its_compensation() -> None:
    saga = undoing(losses=2)
    assert isinstance(concluded(saga, "b", COMPENSATION, Errored(ERROR)).answer, RetryLater)
    saga = undoing(attempts=2, losses=1)
    assert concluded(saga, "b", COMPENSATION, Errored(ERROR)).answer == Recorded()


def test_an_error_after_a_loss_waits_as_after_the_first_error() -> None:
    policy = Retry(max_attempts=9, wait_initial=1.0, wait_exp_base=2, wait_jitter=0)
    plan = [PlannedStep("a", PlannedCall("a", None, policy, None), None)]
    for lost, wait_s in ((False, 1.0), (True, 8.0)):
        saga = saga_at("IN_PROGRESS", plan, {"a": held(ACTION, attempts=4, losses=3)})
        answer = concluded(saga, "a", ACTION, Errored(ERROR, lost=lost)).answer
        assert answer == RetryLater(wait_s)


def test_a_refusal_after_an_attempt_in_doubt_leaves_the_step_in_doubt() -> None:
    decision = concluded(acting(attempts=2, doubtful=True), "b", ACTION, Refused(ERROR))
    assert the_change(decision).status is StepStatus.UNKNOWN
    assert the_change(decision).values["doubtful"] is True


def test_the_first_failure_is_kept_with_the_saga_without_its_traceback() -> None:
    decision = concluded(acting(), "b", ACTION, Refused(ERROR))
    assert decision.values["failure"] == {"step": "b", **BRIEF}
    assert the_change(decision).detail == {"error": BRIEF}


def test_a_failing_compensation_does_not_hide_the_first_failure() -> None:
    decision = concluded(undoing(attempts=2), "b", COMPENSATION, Errored(ERROR))
    assert "failure" not in decision.values


def test_a_failing_compensation_keeps_the_error_of_its_action() -> None:
    values = the_change(concluded(undoing(attempts=2), "b", COMPENSATION, Errored(ERROR))).values
    assert values == {
        "compensation_error": ERROR,
        "retry_at": None,
        "compensation_ended_at": NOW,
    }


def test_each_direction_of_a_step_has_its_own_number_of_attempts() -> None:
    plan = [planned("a"), planned("b", attempts=1, undo_attempts=3)]
    steps = {"a": made("SUCCESS"), "b": held(COMPENSATION, attempts=2)}
    back = saga_at("COMPENSATING", plan, steps)
    assert isinstance(concluded(back, "b", COMPENSATION, Errored(ERROR)).answer, RetryLater)
    forward = saga_at("IN_PROGRESS", plan, {"a": made("SUCCESS"), "b": held(ACTION)})
    assert concluded(forward, "b", ACTION, Errored(ERROR)).answer == Recorded()


@pytest.mark.parametrize("result", [Refused(ERROR), Errored(ERROR)])
@pytest.mark.parametrize("last", [True, False])
def test_a_best_effort_step_that_fails_lets_the_saga_go_on(
    result: Result,
    last: bool,  # noqa: FBT001
) -> None:
    plan = [planned("a", best_effort=True), *([] if last else [planned("b")])]
    saga = saga_at("IN_PROGRESS", plan, {"a": held(ACTION, attempts=2)})
    decision = concluded(saga, "a", ACTION, result)
    assert decision.answer == Recorded(ended=last)
    assert decision.path == ((SagaStatus.COMPLETED,) if last else ())
    assert "failure" not in decision.values
    if not last:  # its own chain has ended with it
        assert decision.values["sent_at"] is None


def test_a_best_effort_step_is_tried_as_often_as_any_other() -> None:
    saga = saga_at("IN_PROGRESS", [planned("a", best_effort=True)], {"a": held(ACTION)})
    assert isinstance(concluded(saga, "a", ACTION, Errored(ERROR)).answer, RetryLater)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(("attempt", "retried"), [(1, True), (2, True), (3, False)])
def test_an_attempt_that_errored_is_repeated_until_none_is_left(
    operation: Operation,
    attempt: int,
    retried: bool,  # noqa: FBT001
) -> None:
    policy = {"attempts": 3, "undo_attempts": 3}
    saga = (acting if operation is ACTION else undoing)(attempts=attempt, planned=policy)
    answer = concluded(saga, "b", operation, Errored(ERROR)).answer
    assert isinstance(answer, RetryLater) is retried


def test_the_attempts_of_an_action_do_not_count_for_its_compensation() -> None:
    plan = [planned("a", attempts=3, undo_attempts=3)]
    saga = saga_at("COMPENSATING", plan, {"a": {**held(COMPENSATION), "attempt": 3}})
    assert isinstance(concluded(saga, "a", COMPENSATION, Errored(ERROR)).answer, RetryLater)


def test_a_retry_releases_the_step_and_says_when_it_is_due() -> None:
    change = the_change(concluded(acting(), "b", ACTION, Errored(ERROR)))
    assert change.status is StepStatus.UNKNOWN
    assert change.values == {
        "error": ERROR,
        "claim": None,
        "retry_at": seconds(1),
        "ended_at": NOW,
        "doubtful": True,
    }
    assert change.detail == {"error": BRIEF, "retry_in_s": 1.0}


def test_a_retried_compensation_casts_no_doubt_on_its_action() -> None:
    change = the_change(concluded(undoing(), "b", COMPENSATION, Errored(ERROR)))
    assert change.status is StepStatus.COMPENSATING
    assert "doubtful" not in change.values
    assert change.values["compensation_error"] == ERROR


def test_a_short_wait_is_a_countdown_in_the_message() -> None:
    decision = concluded(acting(planned={"wait": TIMING.timer_s}), "b", ACTION, Errored(ERROR))
    assert decision.dispatch == Dispatch(ACTION, ("b",), countdown_s=2.0)
    # If the message is lost, the sweep checks one lease after it was due.
    assert decision.values == {"due_at": seconds(5), "sent_at": seconds(2)}


def test_a_long_wait_is_a_timer_in_the_record() -> None:
    decision = concluded(
        acting(planned={"wait": TIMING.timer_s + 0.1}), "b", ACTION, Errored(ERROR)
    )
    assert decision.dispatch is None
    assert decision.values == {"due_at": seconds(2.1), "sent_at": None}
    assert the_change(decision).values["retry_at"] == seconds(2.1)


@pytest.mark.parametrize("wait", [1.0, 90.0])
@pytest.mark.parametrize("operation", Operation)
def test_a_retry_raises_the_epoch_so_that_no_older_message_can_run_it(
    operation: Operation, wait: float
) -> None:
    saga = (acting if operation is ACTION else undoing)(planned={"wait": wait})
    decision = concluded(saga, "b", operation, Errored(ERROR))
    assert decision.raise_epoch
    assert not after(saga, decision).step("b").held


def test_the_chance_shortens_the_wait() -> None:
    call = PlannedCall("a", None, Retry(wait_initial=1.0, wait_jitter=0.2), None)
    saga = saga_at("IN_PROGRESS", [PlannedStep("a", call, None)], {"a": held(ACTION)})
    assert concluded(saga, "a", ACTION, Errored(ERROR), chance=0.0).answer == RetryLater(1.0)
    assert concluded(saga, "a", ACTION, Errored(ERROR), chance=1.0).answer == RetryLater(0.8)


def test_a_retry_of_an_action_sends_the_steps_after_it_too() -> None:
    plan = [planned("a"), planned("b"), planned("c"), planned("d")]
    steps = {"a": made("SUCCESS"), "b": held(ACTION), "c": made("SKIPPED")}
    decision = concluded(saga_at("IN_PROGRESS", plan, steps), "b", ACTION, Errored(ERROR))
    assert decision.dispatch == Dispatch(ACTION, ("b", "d"), countdown_s=1.0)


def test_a_retry_of_a_compensation_sends_the_rest_in_reverse_order() -> None:
    plan = [planned(name) for name in "abcd"]
    steps = {name: made("SUCCESS") for name in "ab"} | {
        "c": held(COMPENSATION),
        "d": made("COMPENSATED"),
    }
    decision = concluded(saga_at("COMPENSATING", plan, steps), "c", COMPENSATION, Errored(ERROR))
    assert decision.dispatch == Dispatch(COMPENSATION, ("c", "b", "a"), countdown_s=1.0)


def test_a_compensation_that_fails_for_good_lets_the_others_run() -> None:
    decision = concluded(undoing(attempts=2), "b", COMPENSATION, Errored(ERROR))
    assert (decision.answer, decision.path) == (Recorded(), ())
    # Its chain has ended with it: the next message is not on its way.
    assert decision.values["sent_at"] is None


@pytest.mark.parametrize(
    ("last", "result"), [(1, Refused(ERROR)), (2, Errored(ERROR)), (1, Succeeded())]
)
def test_a_saga_with_anything_left_behind_is_parked_and_names_it(last: int, result: Result) -> None:
    plan = [planned("a"), planned("b"), planned("c")]
    steps = {
        "a": held(COMPENSATION, attempts=last),
        "b": made("COMPENSATION_FAILED"),
        "c": made("COMPENSATED"),
    }
    decision = concluded(saga_at("COMPENSATING", plan, steps), "a", COMPENSATION, result)
    left = ["b"] if isinstance(result, Succeeded) else ["a", "b"]
    assert (decision.answer, decision.path) == (Recorded(ended=True), (SagaStatus.FAILED,))
    assert decision.values["parked"] == {
        "reason": f"What these steps did, or may have done, is not undone: {', '.join(left)}.",
        "steps": left,
        "operation": "compensation",
    }
    assert decision.values["due_at"] is None


@pytest.mark.parametrize("status", ["UNKNOWN", "SUCCESS"])
def test_a_step_that_may_have_happened_and_cannot_be_undone_parks_the_saga(status: str) -> None:
    plan = [planned("a"), planned("b", undo=False)]
    steps = {"a": held(COMPENSATION), "b": made(status, attempts=2)}
    decision = concluded(saga_at("COMPENSATING", plan, steps), "a", COMPENSATION, Succeeded())
    assert decision.path == (SagaStatus.FAILED,)
    assert present(decision.values["parked"])["steps"] == ["b"]


@pytest.mark.parametrize(
    "step",
    [
        planned("b", undo=False, best_effort=True),  # its effect does not matter
        planned("b", undo=False, read_only=True),  # it leaves nothing behind
    ],
    ids=["best effort", "read-only"],
)
@pytest.mark.parametrize("status", ["UNKNOWN", "SUCCESS"])
def test_a_step_without_a_compensation_parks_the_saga_only_if_it_matters(
    step: Any, status: str
) -> None:
    steps = {"a": held(COMPENSATION), "b": made(status, attempts=2)}
    saga = saga_at("COMPENSATING", [planned("a"), step], steps)
    assert concluded(saga, "a", COMPENSATION, Succeeded()).path == (SagaStatus.COMPENSATED,)


def test_a_value_that_is_not_a_result_is_refused_and_decides_nothing() -> None:
    no_result: Any = SimpleNamespace(probed=None)
    with pytest.raises(AssertionError, match="unreachable"):
        concluded(acting(), "b", ACTION, no_result)
