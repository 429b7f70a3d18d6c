"""An outcome in doubt: the participant is asked before the step runs again or is undone."""

from dataclasses import replace
from typing import Any

import pytest

from sagas.decision import (
    Decision,
    Errored,
    Granted,
    Probed,
    Refused,
    RetryLater,
    SagaState,
    Succeeded,
    advance,
    claim,
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
    saga_at,
    seconds,
)

PLAN = (planned("a", probe=True, attempts=2), planned("b"))
ERRORED = Errored({"type": "OSError", "message": "no reply"})
HAPPENED, DID_NOT = Probed(happened=True, output='"R-1"'), Probed(happened=False)


def claimed(saga: SagaState, operation: Operation = ACTION) -> Decision:
    return claim(saga, "a", operation, epoch=saga.epoch, token=TOKEN, holder={}, timing=TIMING)


def concluded(saga: SagaState, result: Any, operation: Operation = ACTION) -> Decision:
    return conclude(saga, "a", operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0)


def acting(**more: Any) -> SagaState:
    return saga_at("IN_PROGRESS", PLAN, {"a": held(ACTION, **more)})


def backing_off(**more: Any) -> SagaState:
    step = made("UNKNOWN", waits=True, doubtful=True, **more)
    return saga_at("IN_PROGRESS", PLAN, {"a": step}, now=seconds(1))


def test_a_first_attempt_has_nothing_to_ask_about() -> None:
    assert claimed(saga_at("STARTED", PLAN)).answer == Granted(1, ask=False, run=True)


def test_a_step_in_doubt_is_probed_before_it_runs_again() -> None:
    assert claimed(backing_off()).answer == Granted(2, ask=True, run=True)


def test_a_step_without_a_probe_simply_runs_again() -> None:
    saga = replace(backing_off(), plan=saga_at("STARTED", [planned("a"), planned("b")]).plan)
    assert claimed(saga).answer == Granted(2, ask=False, run=True)


def test_only_the_probe_is_asked_once_the_attempts_have_run_out() -> None:
    decision = concluded(acting(attempts=2), ERRORED)
    assert decision.answer == RetryLater(1.0)
    saga = replace(after(acting(attempts=2), decision), now=seconds(1))
    decision = claimed(saga)
    assert decision.answer == Granted(2, ask=True, run=False)
    assert decision.steps[0].values["attempt"] == 2
    assert decision.steps[0].values["probe_attempt"] == 1


def test_a_claim_whose_reply_was_lost_is_granted_as_it_was() -> None:
    assert claimed(acting(attempts=2, doubtful=True, probe_attempt=1)).answer == Granted(
        2, ask=True, run=False
    )
    assert claimed(acting(attempts=2, doubtful=True)).answer == Granted(2, ask=True, run=True)


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_answer_of_the_probe_is_recorded_as_the_outcome(attempts: int) -> None:
    saga = acting(attempts=attempts, doubtful=True)
    (change,) = concluded(saga, Succeeded(HAPPENED.output, HAPPENED)).steps
    assert change.status is StepStatus.SUCCESS
    assert change.values["output"] == '"R-1"'
    assert change.values["doubtful"] is False
    assert change.detail == {"probe": True}


def test_a_step_that_certainly_did_not_happen_has_failed_and_is_not_undone() -> None:
    saga = acting(attempts=2, doubtful=True, probe_attempt=1)
    refused = Refused({"type": "AttemptsExhausted", "message": "…"}, DID_NOT)
    decision = concluded(saga, refused)
    assert decision.steps[0].status is StepStatus.FAILED
    assert decision.steps[0].values["doubtful"] is False
    assert (decision.steps[0].detail or {})["probe"] is False
    turned = after(saga, decision)
    advanced = advance(turned, alive=lambda _: True, lost=False, timing=TIMING, chance=0)
    assert advanced.path == (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED)


def test_a_refusal_after_the_probe_found_nothing_leaves_an_earlier_attempt_in_doubt() -> None:
    # The earlier attempt may still arrive, and be accepted where this one was not.
    saga = acting(attempts=2, doubtful=True)
    decision = concluded(saga, Refused({"type": "StepFailed", "message": "no"}, DID_NOT))
    assert decision.steps[0].status is StepStatus.UNKNOWN
    assert decision.steps[0].values["doubtful"] is True


def test_a_probe_that_fails_is_asked_as_often_as_the_step_is_attempted() -> None:
    first = concluded(acting(attempts=2, doubtful=True, probe_attempt=1), ERRORED)
    assert isinstance(first.answer, RetryLater)
    last = concluded(acting(attempts=2, doubtful=True, probe_attempt=2), ERRORED)
    assert last.steps[0].status is StepStatus.UNKNOWN
    assert last.steps[0].values["retry_at"] is None


def test_a_probe_that_is_lost_with_its_worker_gives_the_action_no_further_attempt() -> None:
    saga = acting(attempts=2, doubtful=True, probe_attempt=1)
    decision = concluded(saga, Errored({"type": "WorkerLost", "message": "…"}, lost=True))
    assert isinstance(decision.answer, RetryLater)
    again = claimed(replace(after(saga, decision), now=seconds(1)))
    assert again.answer == Granted(2, ask=True, run=False)


def test_the_probe_is_asked_when_too_many_attempts_were_lost() -> None:
    saga = acting(attempts=2, losses=1)
    decision = concluded(saga, Errored({"type": "WorkerLost", "message": "…"}, lost=True))
    assert isinstance(decision.answer, RetryLater)
    again = claimed(replace(after(saga, decision), now=seconds(1)))
    assert again.answer == Granted(2, ask=True, run=False)


def test_an_undo_that_was_lost_with_its_worker_may_still_wait_for_the_probe() -> None:
    step = made("UNKNOWN", attempts=2, doubtful=True, compensation_attempt=1, compensation_losses=1)
    granted = claimed(saga_at("COMPENSATING", PLAN, {"a": step}), COMPENSATION).answer
    assert granted == Granted(2, ask=True, insist=True)


def test_the_probe_is_asked_before_a_step_in_doubt_is_undone() -> None:
    steps = {"a": made("UNKNOWN", attempts=2, doubtful=True)}
    saga = saga_at("COMPENSATING", PLAN, steps)
    assert claimed(saga, COMPENSATION).answer == Granted(1, ask=True, run=True)
    certain = saga_at("COMPENSATING", PLAN, {"a": made("SUCCESS")})
    assert claimed(certain, COMPENSATION).answer == Granted(1, ask=False, run=True)


@pytest.mark.parametrize(("probed", "answer"), [(HAPPENED, True), (DID_NOT, False)])
def test_a_compensation_records_the_answer_of_the_probe(probed: Probed, *, answer: bool) -> None:
    saga = saga_at("COMPENSATING", PLAN, {"a": held(COMPENSATION, doubtful=True)})
    decision = concluded(saga, Succeeded(probed=probed), COMPENSATION)
    (change,) = decision.steps
    assert change.status is StepStatus.COMPENSATED
    assert change.detail == {"probe": answer}
    assert change.values.get("output") == probed.output


def test_an_error_that_no_retry_can_cure_is_not_retried() -> None:
    decision = concluded(acting(), Errored({"type": "PayloadTooLarge", "message": "…"}, final=True))
    assert decision.steps[0].status is StepStatus.UNKNOWN
    assert decision.steps[0].values["retry_at"] is None
