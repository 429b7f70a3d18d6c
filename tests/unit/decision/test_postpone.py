"""The participant asks to be called again later: the wait is its own, and it uses up no attempt."""

import math
from dataclasses import replace
from typing import Any

import pytest

from sagas.decision import (
    AttemptError,
    Decision,
    Dispatch,
    Dropped,
    Errored,
    Granted,
    Postponed,
    Recorded,
    RetryLater,
    SagaState,
    StepChange,
    advance,
    cancel,
    claim,
    conclude,
)
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    NOW,
    TIMING,
    TOKEN,
    after,
    held,
    made,
    planned,
    saga_at,
    seconds,
)

BUSY: AttemptError = {
    "type": "RetryAfter",
    "message": "429, come back in 8 s",
    "code": None,
    "traceback": "File …",
}
BRIEF = {"type": "RetryAfter", "message": "429, come back in 8 s", "code": None}
ERRORED = Errored({"type": "OSError", "message": "no reply"})


def saga_of(operation: Operation, *, plan: dict[str, Any] | None = None, **step: Any) -> SagaState:
    status = "IN_PROGRESS" if operation is ACTION else "COMPENSATING"
    steps = {"a": made("SUCCESS"), "b": held(operation, **step)}
    return saga_at(status, [planned("a"), planned("b", **(plan or {}))], steps)


def concluded(
    saga: SagaState, wait_s: float, operation: Operation = ACTION, **more: Any
) -> Decision:
    result = Postponed(BUSY, wait_s, **more)
    return conclude(saga, "b", operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=1)


def claimed(saga: SagaState, operation: Operation = ACTION) -> Decision:
    return claim(saga, "b", operation, epoch=saga.epoch, token="new", holder={}, timing=TIMING)  # noqa: S106


def the_change(decision: Decision) -> StepChange:
    (change,) = decision.steps
    return change


@pytest.mark.parametrize("operation", Operation)
def test_the_wait_is_the_one_that_the_participant_chose(operation: Operation) -> None:
    decision = concluded(saga_of(operation), 8.0, operation)
    assert decision.answer == RetryLater(8.0)  # without jitter: sooner would be too soon
    assert the_change(decision).values["retry_at"] == seconds(8)


def test_a_postponed_action_certainly_had_no_effect() -> None:
    change = the_change(concluded(saga_of(ACTION), 8.0))
    assert change.status is StepStatus.PENDING
    assert change.values == {
        "error": BUSY,
        "ended_at": NOW,
        "claim": None,
        "retry_at": seconds(8),
        "postponements": 1,
        "postponed_s": 8,
    }


def test_a_postponed_action_is_not_undone_when_its_saga_turns_back_meanwhile() -> None:
    saga = saga_of(ACTION)
    waiting = after(saga, concluded(saga, 8.0))
    turned = cancel(waiting, reason="…", timing=TIMING)
    assert turned.dispatch == Dispatch(COMPENSATION, ("a",))


def test_an_earlier_attempt_in_doubt_stays_in_doubt() -> None:
    saga = saga_of(ACTION, attempts=2, doubtful=True)
    decision = concluded(saga, 8.0)
    assert the_change(decision).status is StepStatus.UNKNOWN
    assert after(saga, decision).step("b").doubtful


def test_a_postponed_compensation_casts_no_doubt_on_its_action() -> None:
    change = the_change(concluded(saga_of(COMPENSATION), 8.0, COMPENSATION))
    assert change.status is StepStatus.COMPENSATING
    assert change.values == {
        "compensation_error": BUSY,
        "compensation_ended_at": NOW,
        "claim": None,
        "retry_at": seconds(8),
        "compensation_postponements": 1,
        "compensation_postponed_s": 8,
    }


@pytest.mark.parametrize("operation", Operation)
def test_the_history_tells_the_wait_and_what_the_participant_said(operation: Operation) -> None:
    counts = ("postponements", "postponed_s")
    if operation is COMPENSATION:
        counts = ("compensation_postponements", "compensation_postponed_s")
    step: dict[str, Any] = dict(zip(counts, (2, 12), strict=True))
    saga = saga_of(operation, **step)
    assert the_change(concluded(saga, 7.5, operation)).detail == {
        "error": BRIEF,
        "postponements": 3,
        "postponed_s": 20,
        "retry_in_s": 7.5,
    }


@pytest.mark.parametrize("operation", Operation)
def test_a_postponed_attempt_uses_up_none_of_the_policys(operation: Operation) -> None:
    saga = saga_of(operation, plan={"attempts": 1, "undo_attempts": 1})
    for attempt in range(2, 9):
        saga = after(saga, concluded(saga, 1.0, operation))
        decision = claimed(replace(saga, now=saga.now, sent_at=NOW, epoch=EPOCH), operation)
        assert decision.answer == Granted(attempt)
        saga = after(replace(saga, epoch=EPOCH), decision)
        saga = replace(saga, steps={**saga.steps, "b": replace(saga.step("b"), claim=TOKEN)})


@pytest.mark.parametrize("operation", Operation)
def test_an_error_after_postponements_waits_as_after_the_first_error(operation: Operation) -> None:
    counts: dict[str, Any] = {"postponements": 4, "compensation_postponements": 4}
    saga = saga_of(operation, attempts=5, plan={"attempts": 2, "undo_attempts": 2}, **counts)
    decision = conclude(
        saga, "b", operation, ERRORED, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0
    )
    assert decision.answer == RetryLater(1.0)


def test_a_short_wait_is_a_countdown_in_the_message() -> None:
    decision = concluded(saga_of(ACTION), TIMING.timer_s)
    assert decision.raise_epoch
    assert decision.dispatch == Dispatch(ACTION, ("b",), countdown_s=2.0)
    assert decision.values == {"due_at": seconds(5), "sent_at": seconds(2)}


def test_a_long_wait_is_a_timer_in_the_record() -> None:
    saga = saga_of(ACTION)
    decision = concluded(saga, 8.0)
    assert decision.raise_epoch
    assert decision.dispatch is None
    assert decision.values == {"due_at": seconds(8), "sent_at": None}
    waiting = after(saga, decision)
    early = claimed(replace(waiting, now=seconds(7)))
    assert early.answer == Dropped("it is not its time")
    due = replace(waiting, now=seconds(8))
    sent = advance(due, alive=lambda _: True, lost=False, timing=TIMING, chance=0)
    assert sent.dispatch == Dispatch(ACTION, ("b",))


@pytest.mark.parametrize("wait_s", [0.0, 0.25, -60.0, -math.inf])
def test_no_wait_is_shorter_than_a_second_so_that_the_waits_come_to_an_end(wait_s: float) -> None:
    decision = concluded(saga_of(ACTION), wait_s)
    assert decision.answer == RetryLater(1.0)
    assert the_change(decision).values["postponed_s"] == 1


@pytest.mark.parametrize(("waited_s", "wait_s"), [(0, 60.0), (59, 1.0), (59, 0.1)])
def test_the_participant_may_make_the_step_wait_until_its_bound_is_reached(
    waited_s: int, wait_s: float
) -> None:
    decision = concluded(saga_of(ACTION, postponed_s=waited_s), wait_s)
    assert isinstance(decision.answer, RetryLater)


@pytest.mark.parametrize(
    ("waited_s", "wait_s"), [(0, 60.5), (59, 2.0), (60, 0.1), (0, math.inf), (0, 1e300)]
)
def test_a_wait_beyond_the_bound_is_a_refusal(waited_s: int, wait_s: float) -> None:
    decision = concluded(saga_of(ACTION, postponed_s=waited_s), wait_s)
    assert decision.answer == Recorded()
    change = the_change(decision)
    assert change.status is StepStatus.FAILED
    failure = decision.values["failure"]
    assert failure is not None
    assert (failure["step"], failure["type"]) == ("b", "PostponedTooLong")
    assert failure["message"] == (
        f"The action of b asked for a wait of {wait_s:g} s, after {waited_s} s of such waits, and "
        "its policy allows 60 s in all. If that is too little, give it more: "
        "retry=Retry(max_postponed=…). It said: 429, come back in 8 s"
    )


def test_a_compensation_that_is_postponed_beyond_its_bound_has_failed() -> None:
    saga = saga_of(COMPENSATION, compensation_postponed_s=60, postponed_s=0)
    change = the_change(concluded(saga, 8.0, COMPENSATION))
    assert change.status is StepStatus.COMPENSATION_FAILED
    other = saga_of(COMPENSATION, compensation_postponed_s=0, postponed_s=60)
    assert concluded(other, 8.0, COMPENSATION).answer == RetryLater(8.0)


def test_a_step_in_doubt_that_is_postponed_beyond_its_bound_is_undone() -> None:
    saga = saga_of(ACTION, attempts=2, doubtful=True, postponed_s=60)
    assert the_change(concluded(saga, 8.0)).status is StepStatus.UNKNOWN


def test_a_policy_may_allow_no_wait_at_all() -> None:
    decision = concluded(saga_of(ACTION, plan={"postponed": 0.0}), 1.0)
    assert the_change(decision).status is StepStatus.FAILED


def test_a_saga_that_was_cancelled_meanwhile_turns_back_without_waiting() -> None:
    cancelled = {"step": None, "type": "Cancelled", "message": "…"}
    saga = replace(saga_of(ACTION), failure=cancelled)  # type: ignore[arg-type]
    decision = concluded(saga, 8.0)
    assert decision.path == (SagaStatus.COMPENSATING,)
    change = the_change(decision)
    assert change.status is StepStatus.FAILED
    assert change.values["error"] == BUSY


def test_the_deadline_goes_on_during_the_wait() -> None:
    saga = replace(saga_of(ACTION), deadline_at=seconds(5))
    waiting = after(saga, concluded(saga, 8.0))
    late = replace(waiting, now=seconds(5))
    turned = advance(late, alive=lambda _: True, lost=False, timing=TIMING, chance=0)
    assert turned.path == (SagaStatus.COMPENSATING,)


def probing(**step: Any) -> SagaState:
    return saga_of(ACTION, plan={"attempts": 2, "probe": True}, doubtful=True, **step)


def test_a_probe_that_ran_on_its_own_may_be_postponed_and_gives_the_action_no_attempt() -> None:
    saga = probing(attempts=2, probe_attempt=2)
    decision = concluded(saga, 8.0)
    values = the_change(decision).values
    assert (values["probe_attempt"], values["postponements"]) == (1, 0)
    assert values["postponed_s"] == 8
    due = replace(after(saga, decision), now=seconds(8), sent_at=NOW)
    again = claimed(due)
    assert again.answer == Granted(2, ask=True, run=False)
    assert the_change(again).values["probe_attempt"] == 2


def test_a_postponed_undo_may_still_wait_for_the_probe() -> None:
    step = made("UNKNOWN", attempts=2, doubtful=True)
    step |= {"compensation_attempt": 1, "compensation_postponements": 1}
    plan = [planned("a"), planned("b", probe=True, attempts=2)]
    saga = saga_at("COMPENSATING", plan, {"a": made("SUCCESS"), "b": step})
    assert claimed(saga, COMPENSATION).answer == Granted(2, ask=True, insist=True)
