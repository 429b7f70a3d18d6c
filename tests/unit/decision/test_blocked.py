"""When a saga is blocked, and when it no longer is."""

from typing import Any

import pytest

from sagas.decision import (
    Blocked,
    Decision,
    Errored,
    Evidence,
    SagaState,
    advance,
    claim,
    conclude,
    resent_at_once,
)
from sagas.decision.blocked import RESENDS_TO_ALERT, UNCONSUMED_TO_ALERT
from sagas.states import Operation
from tests.support.states import (
    EPOCH,
    ERROR,
    NOW,
    TIMING,
    TOKEN,
    folded,
    held,
    planned,
    present,
    saga_at,
)

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION
PLAN = [planned("a"), planned("b")]
NO_WORKER: Blocked = {"reason": "…", "steps": ["a"], "task": "a", "queue": None}
NEEDS_REPAIR: Blocked = {"reason": "…", "steps": []}


def checked(saga: SagaState, *, lost: bool = True) -> Decision:
    return advance(saga, alive=lambda _: True, lost=lost, timing=TIMING, chance=0)


@pytest.mark.parametrize("resends", range(RESENDS_TO_ALERT - 1))
def test_a_resent_message_is_counted(resends: int) -> None:
    decision = checked(saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=resends))
    assert decision.values["resends"] == resends + 1
    assert "blocked" not in decision.values
    assert decision.note == "sent again"


def test_the_alert_names_the_step_and_the_task_that_no_worker_claims() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=RESENDS_TO_ALERT - 1)
    decision = checked(saga)
    blocked = present(decision.values["blocked"])
    assert (blocked["steps"], blocked["task"], blocked["queue"]) == (["a"], "a", None)
    assert "No worker ran the action of a (task a)" in blocked["reason"]
    assert (decision.note, decision.why) == ("blocked", blocked["reason"])
    assert decision.raise_epoch
    assert decision.dispatch


def test_a_saga_that_turns_back_can_be_blocked_too() -> None:
    steps = {"a": {"status": "SUCCESS", "attempt": 1}, "b": {"status": "FAILED", "attempt": 1}}
    resends = RESENDS_TO_ALERT - 1
    saga = saga_at("COMPENSATING", PLAN, steps, sent_at=NOW, resends=resends)
    blocked = present(checked(saga).values["blocked"])
    assert (blocked["steps"], blocked["task"]) == (["a"], "a.undo")


def test_people_are_alerted_once_and_the_history_does_not_grow_while_it_is_blocked() -> None:
    decision = checked(saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=NO_WORKER))
    assert decision.note is None
    assert "blocked" not in decision.values
    assert decision.values["resends"] == 10
    assert decision.dispatch


def test_a_message_that_was_never_sent_is_not_counted() -> None:
    decision = checked(saga_at("STARTED", PLAN, sent_at=None, resends=9))
    assert "resends" not in decision.values
    assert decision.note == "sent"


def test_a_message_that_only_waits_is_not_counted() -> None:
    decision = checked(saga_at("STARTED", PLAN, sent_at=NOW, resends=9), lost=False)
    assert "resends" not in decision.values


def claimed(saga: SagaState) -> Decision:
    return claim(saga, "a", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)


def test_a_claim_unblocks_the_saga() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=NO_WORKER)
    values = folded(saga, claimed(saga)).values
    assert (values["resends"], values["blocked"]) == (0, None)


def test_a_check_or_a_resend_does_not_unblock_it() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=NO_WORKER)
    for decision in (checked(saga), checked(saga, lost=False)):
        assert folded(saga, decision) == decision


def test_a_decision_on_a_healthy_saga_is_left_unchanged() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": held(ACTION)})
    decision = conclude(
        saga,
        "a",
        ACTION,
        Errored(ERROR),
        epoch=EPOCH,
        token=TOKEN,
        timing=TIMING,
        chance=0,
    )
    assert folded(saga, decision) is decision


def test_a_successful_sweep_resets_the_failed_sweeps_and_unblocks_the_saga() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=4, blocked=NEEDS_REPAIR)
    values = folded(saga, checked(saga, lost=False)).values
    assert (values["failed_sweeps"], values["blocked"]) == (0, None)


def test_a_successful_sweep_does_not_unblock_a_saga_without_a_worker() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=1, blocked=NO_WORKER)
    values = folded(saga, checked(saga)).values
    assert values["failed_sweeps"] == 0
    assert "blocked" not in values


def test_a_void_message_does_not_reset_failed_sweeps() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=4, blocked=NEEDS_REPAIR)
    void = claim(saga, "a", ACTION, epoch=EPOCH - 1, token=TOKEN, holder={}, timing=TIMING)
    assert folded(saga, void) is void


def waiting(saga: SagaState, **known: Any) -> Decision:
    """Check a saga whose message is not lost."""
    evidence = Evidence(**known)
    return advance(
        saga, alive=lambda _: True, lost=False, timing=TIMING, chance=0, evidence=evidence
    )


def test_checks_in_which_nobody_consumes_its_queue_are_counted() -> None:
    decision = waiting(saga_at("STARTED", PLAN, sent_at=NOW), unconsumed="q")
    assert (decision.values["unconsumed"], decision.values["checks"]) == (1, 1)
    assert "blocked" not in decision.values
    assert decision.dispatch is None


def test_they_are_counted_anew_after_progress() -> None:
    saga = saga_at("STARTED", PLAN, sent_at=NOW, unconsumed=2, checks=0)
    assert waiting(saga, unconsumed="q").values["unconsumed"] == 1


def test_a_check_in_which_somebody_consumes_its_queue_ends_the_count() -> None:
    saga = saga_at("STARTED", PLAN, sent_at=NOW, unconsumed=2, checks=2)
    assert waiting(saga).values["unconsumed"] == 0


def test_people_are_alerted_to_a_queue_that_nobody_consumes() -> None:
    last = UNCONSUMED_TO_ALERT - 1
    saga = saga_at("STARTED", PLAN, sent_at=NOW, unconsumed=last, checks=last)
    decision = waiting(saga, unconsumed="q")
    blocked = present(decision.values["blocked"])
    assert (blocked["steps"], blocked["task"], blocked["queue"]) == (["a"], "a", "q")
    assert "waits in queue q, which no living worker consumes" in blocked["reason"]
    assert (decision.note, decision.raise_epoch) == ("blocked", True)
    assert decision.dispatch


@pytest.mark.parametrize("known", [{"unconsumed": "q"}, {"cause": "OSError"}], ids=str)
def test_people_are_alerted_once_to_what_keeps_a_message_waiting(known: dict[str, str]) -> None:
    saga = saga_at(
        "STARTED", PLAN, sent_at=NOW, unconsumed=9, checks=9, resends=9, blocked=NO_WORKER
    )
    decision = waiting(saga, **known)
    assert "blocked" not in decision.values
    assert not decision.raise_epoch


def test_the_alert_names_the_error_that_keeps_workers_from_their_claims() -> None:
    saga = saga_at("STARTED", PLAN, sent_at=NOW, resends=RESENDS_TO_ALERT - 1)
    decision = waiting(saga, cause="OSError: no route")
    blocked = present(decision.values["blocked"])
    assert (
        "Workers fail before they can run the action of a (task a): OSError: no route"
        in (blocked["reason"])
    )
    assert decision.values["resends"] == RESENDS_TO_ALERT
    assert decision.raise_epoch


def test_an_error_before_the_first_claims_alerts_nobody_yet() -> None:
    saga = saga_at("STARTED", PLAN, sent_at=NOW, resends=RESENDS_TO_ALERT - 2)
    assert "blocked" not in waiting(saga, cause="OSError").values


@pytest.mark.parametrize(("resends", "at_once"), [(0, True), (1, False), (9, False)])
def test_only_the_first_message_that_ended_without_a_claim_is_sent_again_at_once(
    resends: int, *, at_once: bool
) -> None:
    assert resent_at_once(saga_at("STARTED", PLAN, sent_at=NOW, resends=resends)) is at_once
