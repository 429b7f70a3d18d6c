"""What people ask of sagas, and deadlines, which ask for the same."""

from dataclasses import replace
from typing import Any

import pytest

from sagas.decision import (
    Accepted,
    Decision,
    Declined,
    Dispatch,
    Dropped,
    Errored,
    Recorded,
    Refused,
    Result,
    SagaState,
    Succeeded,
    advance,
    cancel,
    claim,
    conclude,
    resolve,
    retry,
    skip,
)
from sagas.states import STEP_EDGES, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    ENDED_NOW,
    EPOCH,
    NOW,
    RESOLVED,
    TIMING,
    TOKEN,
    after,
    folded,
    held,
    made,
    planned,
    present,
    saga_at,
    seconds,
)

PLAN = (planned("a"), planned("b"), planned("c"))
PIVOTED = (planned("a"), planned("b", pivot=True, undo=False), planned("c", undo=False))
CANCELLED = {"step": None, "type": "Cancelled", "message": "the customer left"}


def cancelled(saga: SagaState) -> Decision:
    return cancel(saga, reason="the customer left", timing=TIMING)


def checked(saga: SagaState) -> Decision:
    return advance(saga, alive=lambda _: True, lost=False, timing=TIMING, chance=0)


# Cancel.


def test_a_cancelled_saga_undoes_what_it_did() -> None:
    decision = cancelled(saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS")}))
    assert (decision.answer, decision.path) == (Accepted(), (SagaStatus.COMPENSATING,))
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))
    assert decision.raise_epoch
    assert decision.values["failure"] == CANCELLED
    assert decision.note == "cancelled"


def test_a_saga_that_did_nothing_is_cancelled_at_once() -> None:
    decision = cancelled(saga_at("STARTED", PLAN))
    assert decision.path == (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED)
    assert decision.values == {**ENDED_NOW, "failure": CANCELLED}


def test_a_cancel_takes_effect_in_the_middle_of_a_backoff() -> None:
    steps = {"a": made("SUCCESS"), "b": made("UNKNOWN", waits=True, doubtful=True)}
    decision = cancelled(saga_at("IN_PROGRESS", PLAN, steps))
    assert decision.dispatch == Dispatch(COMPENSATION, ("b", "a"))


def test_a_cancel_waits_for_the_attempt_that_is_running() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS"), "b": held(ACTION)})
    decision = cancelled(saga)
    assert (decision.answer, decision.path, decision.dispatch) == (Accepted(), (), None)
    assert not decision.raise_epoch
    assert decision.note == "cancel requested"


@pytest.mark.parametrize(
    ("result", "undone"),
    [
        (Succeeded(), ("b", "a")),
        (Errored({"type": "OSError", "message": "…"}), ("b", "a")),
        (Refused({"type": "StepFailed", "message": "…"}), ("a",)),
    ],
)
def test_the_saga_turns_back_once_the_running_attempt_has_ended(
    result: Result, undone: tuple[str, ...]
) -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS"), "b": held(ACTION)})
    saga = after(saga, cancelled(saga))
    decision = conclude(
        saga, "b", ACTION, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0
    )
    assert (decision.answer, decision.path) == (Recorded(), (SagaStatus.COMPENSATING,))
    assert decision.dispatch == Dispatch(COMPENSATION, undone)
    assert decision.raise_epoch
    assert "failure" not in decision.values  # the reason stays: it was cancelled


def test_no_further_step_begins_once_a_cancel_is_requested() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS")}, failure=CANCELLED)
    decision = claim(saga, "b", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)
    assert isinstance(decision.answer, Dropped)
    assert checked(saga).path == (SagaStatus.COMPENSATING,)


def test_a_cancel_that_waited_for_the_last_step_still_turns_the_saga_back() -> None:
    steps = {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made("SUCCESS")}
    saga = saga_at("IN_PROGRESS", PLAN, steps, failure=CANCELLED)
    assert checked(saga).dispatch == Dispatch(COMPENSATION, ("c", "b", "a"))


def test_a_cancel_adds_nothing_if_a_failure_already_turns_the_saga_back() -> None:
    failed = {"step": "b", "type": "StepFailed", "message": "no"}
    steps = {"a": made("SUCCESS"), "b": made("FAILED")}
    decision = cancelled(saga_at("IN_PROGRESS", PLAN, steps, failure=failed))
    assert decision == Decision(Accepted())


@pytest.mark.parametrize("status", ["COMPENSATING", "COMPENSATED"])
def test_a_cancel_leaves_a_saga_alone_if_it_has_already_turned_back(status: str) -> None:
    decision = cancelled(saga_at(status, PLAN, {"a": held(COMPENSATION)}))
    assert decision == Decision(Accepted())


@pytest.mark.parametrize("pivot", [held(ACTION), made("SUCCESS"), made("UNKNOWN", waits=True)])
def test_a_cancel_is_refused_once_the_pivot_has_begun(pivot: dict[str, Any]) -> None:
    decision = cancelled(saga_at("IN_PROGRESS", PIVOTED, {"a": made("SUCCESS"), "b": pivot}))
    assert isinstance(decision.answer, Declined)
    assert "no way back" in decision.answer.reason
    assert decision == Decision(decision.answer)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_cancel_is_refused_after_the_end(status: str) -> None:
    assert isinstance(cancelled(saga_at(status, PLAN)).answer, Declined)


# Deadline.


def overdue(steps: dict[str, dict[str, Any]], plan: Any = PLAN) -> SagaState:
    return saga_at("IN_PROGRESS", plan, steps, deadline_at=NOW)


def test_a_saga_past_its_deadline_turns_back() -> None:
    decision = checked(overdue({"a": made("SUCCESS")}))
    assert decision.dispatch == Dispatch(COMPENSATION, ("a",))
    assert present(decision.values["failure"])["type"] == "DeadlineExceeded"
    assert (decision.values["deadline_at"], decision.note) == (None, "deadline passed")


def test_a_deadline_waits_for_the_attempt_that_is_running() -> None:
    decision = checked(overdue({"a": held(ACTION)}))
    assert decision.path == ()
    assert present(decision.values["failure"])["type"] == "DeadlineExceeded"


def test_no_step_begins_after_the_deadline() -> None:
    saga = overdue({"a": made("SUCCESS")})
    decision = claim(saga, "b", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)
    assert isinstance(decision.answer, Dropped)
    assert "deadline" in decision.answer.reason


def test_the_claim_of_the_pivot_ends_the_deadline() -> None:
    saga = saga_at("IN_PROGRESS", PIVOTED, {"a": made("SUCCESS")}, deadline_at=seconds(9))
    decision = claim(saga, "b", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)
    assert decision.values["deadline_at"] is None
    assert folded(saga, decision).values == {**decision.values, "turn": TOKEN}


def test_a_compensation_has_no_deadline() -> None:
    saga = saga_at("COMPENSATING", PLAN, {"a": held(COMPENSATION)})
    assert checked(saga).path == ()


def test_a_saga_is_due_no_later_than_its_deadline() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": made("SUCCESS")}, deadline_at=seconds(9))
    late = Decision(values={"due_at": seconds(60)})
    assert folded(saga, late).values == {"due_at": seconds(9)}
    soon = Decision(values={"due_at": seconds(3)})
    assert folded(saga, soon) == soon


# Retry, skip, resolve.


def parked(
    operation: str, steps: dict[str, dict[str, Any]], *stuck: str, plan: Any = PLAN
) -> SagaState:
    why = {"reason": "…", "steps": list(stuck), "operation": operation}
    return saga_at("FAILED", plan, steps, parked=why, failure={"step": "c", "type": "E"})


UNDO_FAILED = {"a": made("COMPENSATED"), "b": made("COMPENSATION_FAILED"), "c": made("FAILED")}
STUCK_BACK = parked("compensation", UNDO_FAILED, "b")
STUCK_AHEAD = parked(
    "action",
    {"a": made("SUCCESS"), "b": made("SUCCESS"), "c": made("FAILED")},
    "c",
    plan=PIVOTED,
)


def test_a_retry_of_a_parked_compensation_starts_with_fresh_attempts() -> None:
    decision = retry(STUCK_BACK, timing=TIMING)
    assert decision.path == (SagaStatus.COMPENSATING,)
    assert decision.dispatch == Dispatch(COMPENSATION, ("b",))
    assert decision.raise_epoch
    assert decision.values["parked"] is None
    (change,) = decision.steps
    assert (change.status, change.values["compensation_attempt"]) == ("COMPENSATING", 0)
    claimed = claim(
        after(STUCK_BACK, decision),
        "b",
        COMPENSATION,
        epoch=EPOCH + 1,
        token=TOKEN,
        holder={},
        timing=TIMING,
    )
    assert claimed.steps[0].attempt == 1


@pytest.mark.parametrize(
    ("stuck", "step", "losses"),
    [
        (
            STUCK_BACK,
            "b",
            {
                "compensation_losses": 2,
                "compensation_postponements": 3,
                "compensation_postponed_s": 60,
            },
        ),
        (STUCK_AHEAD, "c", {"losses": 2, "postponements": 3, "postponed_s": 60}),
    ],
    ids=["back", "ahead"],
)
def test_a_retry_of_a_parked_saga_forgets_what_was_lost_with_workers_or_postponed(
    stuck: SagaState, step: str, losses: dict[str, int]
) -> None:
    lost = replace(stuck.step(step), **losses)  # type: ignore[arg-type]
    saga = replace(stuck, steps={**stuck.steps, step: lost})
    again = after(saga, retry(saga, timing=TIMING)).step(step)
    assert (again.losses, again.compensation_losses) == (0, 0)
    assert again.postponed(ACTION) == again.postponed(COMPENSATION) == (0, 0)


def test_a_retry_past_the_pivot_goes_forward_and_forgets_the_failure() -> None:
    decision = retry(STUCK_AHEAD, timing=TIMING)
    assert decision.path == (SagaStatus.IN_PROGRESS,)
    assert decision.dispatch == Dispatch(ACTION, ("c",))
    assert decision.values["failure"] is None
    assert decision.steps[0].status is StepStatus.PENDING


def test_a_step_in_doubt_stays_in_doubt_when_it_is_retried() -> None:
    steps = {"a": made("SUCCESS"), "b": made("UNKNOWN", attempts=2, doubtful=True)}
    decision = retry(parked("action", steps, "b", plan=PIVOTED), timing=TIMING)
    assert decision.steps[0].status is StepStatus.UNKNOWN
    assert decision.dispatch == Dispatch(ACTION, ("b", "c"))


def test_a_retry_of_a_step_that_nothing_can_undo_is_refused() -> None:
    plan = (planned("a"), planned("b", undo=False))
    steps = {"a": made("COMPENSATED"), "b": made("UNKNOWN", attempts=2)}
    answer = retry(parked("compensation", steps, "b", plan=plan), timing=TIMING).answer
    assert answer == Declined("b cannot be tried again: skip the step or resolve the saga")


def test_skipping_the_last_remaining_compensation_ends_the_saga() -> None:
    decision = skip(STUCK_BACK, "b", timing=TIMING)
    assert decision.path == (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED)
    assert decision.steps[0].status is StepStatus.SKIPPED


@pytest.mark.parametrize("status", ["SUCCESS", "UNKNOWN"])
def test_a_step_that_nothing_can_undo_is_left_to_a_person_who_may_skip_it(status: str) -> None:
    plan = (planned("a", undo=False), planned("b"))
    steps = {"a": made(status, attempts=2), "b": made("FAILED")}
    saga = saga_at("COMPENSATING", plan, steps)
    saga = after(saga, checked(saga))
    assert saga.status is SagaStatus.FAILED
    decision = skip(saga, "a", timing=TIMING)
    assert decision.path == (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED)
    assert decision.steps[0].status in STEP_EDGES[saga.step("a").status]


def test_skipping_one_of_several_steps_leaves_the_saga_parked_at_the_others() -> None:
    steps = {"a": made("COMPENSATION_FAILED"), "b": made("COMPENSATION_FAILED")}
    decision = skip(parked("compensation", steps, "a", "b"), "b", timing=TIMING)
    assert (decision.path, decision.raise_epoch) == ((), True)
    assert present(decision.values["parked"])["steps"] == ["a"]


def test_skipping_past_the_pivot_goes_on_with_the_next_step() -> None:
    plan = (*PIVOTED, planned("d"))
    decision = skip(
        replace(STUCK_AHEAD, plan=replace(STUCK_AHEAD.plan, steps=plan)), "c", timing=TIMING
    )
    assert decision.path == (SagaStatus.IN_PROGRESS,)
    assert decision.dispatch == Dispatch(ACTION, ("d",))


def test_skipping_the_last_step_completes_the_saga() -> None:
    decision = skip(STUCK_AHEAD, "c", timing=TIMING)
    assert decision.path == (SagaStatus.IN_PROGRESS, SagaStatus.COMPLETED)


def test_only_a_step_at_which_the_saga_is_stuck_can_be_skipped() -> None:
    assert skip(STUCK_BACK, "a", timing=TIMING).answer == Declined("it is stuck at b, not at a")


@pytest.mark.parametrize(
    ("saga", "completed", "status"),
    [
        (STUCK_BACK, None, SagaStatus.COMPENSATED),
        (STUCK_AHEAD, None, SagaStatus.COMPLETED),
        (STUCK_BACK, True, SagaStatus.COMPLETED),
        (STUCK_AHEAD, False, SagaStatus.COMPENSATED),
    ],
)
def test_a_saga_is_resolved_in_the_direction_it_was_going_or_as_the_person_says(
    saga: SagaState,
    completed: bool | None,  # noqa: FBT001
    status: SagaStatus,
) -> None:
    decision = resolve(saga, completed=completed, resolved=RESOLVED)
    assert (decision.path, decision.raise_epoch) == ((status,), True)
    assert decision.values["resolved"] == RESOLVED
    assert decision.values["parked"] is None


@pytest.mark.parametrize("status", [s for s in SagaStatus if s is not SagaStatus.FAILED])
def test_only_a_parked_saga_is_retried_skipped_or_resolved(status: SagaStatus) -> None:
    saga = saga_at(status, PLAN)
    for decision in (
        retry(saga, timing=TIMING),
        skip(saga, "a", timing=TIMING),
        resolve(saga, completed=None, resolved=RESOLVED),
    ):
        assert decision == Decision(Declined(f"it is {status}, not parked (FAILED)"))
