"""When people are told that a saga waits, and when the wait is over."""

import pytest

from sagas.decision import Decision, Errored, SagaState, advance, claim, conclude, progressed
from sagas.decision.blocked import RESENDS_TO_ALERT
from sagas.states import Operation
from tests.unit.decision.states import EPOCH, NOW, TIMING, TOKEN, held, planned, saga_at

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION
PLAN = [planned("a"), planned("b")]
FOR_A_WORKER = {"reason": "…", "steps": ["a"], "task": "a", "queue": None}
FOR_REPAIR = {"reason": "…", "steps": []}


def looked_at(saga: SagaState, *, lost: bool = True) -> Decision:
    return advance(saga, alive=lambda _: True, lost=lost, timing=TIMING, chance=0)


@pytest.mark.parametrize("resends", range(RESENDS_TO_ALERT - 1))
def test_a_message_that_is_sent_again_is_counted(resends: int) -> None:
    decision = looked_at(saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=resends))
    assert decision.values["resends"] == resends + 1
    assert "blocked" not in decision.values
    assert decision.note == "sent again"


def test_people_are_told_of_the_step_and_the_task_once_nobody_claimed_it_that_often() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=RESENDS_TO_ALERT - 1)
    decision = looked_at(saga)
    waiting = decision.values["blocked"]
    assert (waiting["steps"], waiting["task"], waiting["queue"]) == (["a"], "a", None)
    assert "The action of a waits for a worker that has the task a" in waiting["reason"]
    assert (decision.note, decision.why) == ("blocked", waiting["reason"])
    assert decision.raise_epoch
    assert decision.dispatch


def test_the_way_back_waits_as_the_way_forward_does() -> None:
    steps = {"a": {"status": "SUCCESS", "attempt": 1}, "b": {"status": "FAILED", "attempt": 1}}
    resends = RESENDS_TO_ALERT - 1
    saga = saga_at("COMPENSATING", PLAN, steps, sent_at=NOW, resends=resends)
    waiting = looked_at(saga).values["blocked"]
    assert (waiting["steps"], waiting["task"]) == (["a"], "a.compensation_call")


def test_they_are_told_once_and_the_history_does_not_grow_while_it_waits() -> None:
    decision = looked_at(saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=FOR_A_WORKER))
    assert decision.note is None
    assert "blocked" not in decision.values
    assert decision.values["resends"] == 10
    assert decision.dispatch


def test_one_that_was_never_sent_is_not_counted() -> None:
    decision = looked_at(saga_at("STARTED", PLAN, sent_at=None, resends=9))
    assert "resends" not in decision.values
    assert decision.note == "sent"


def test_a_message_that_only_waits_is_not_counted() -> None:
    decision = looked_at(saga_at("STARTED", PLAN, sent_at=NOW, resends=9), lost=False)
    assert "resends" not in decision.values


def claimed(saga: SagaState) -> Decision:
    return claim(saga, "a", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)


def test_a_claim_ends_the_wait() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=FOR_A_WORKER)
    values = progressed(saga, claimed(saga)).values
    assert (values["resends"], values["blocked"]) == (0, None)


def test_to_look_and_to_send_again_do_not_end_it() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, resends=9, blocked=FOR_A_WORKER)
    for decision in (looked_at(saga), looked_at(saga, lost=False)):
        assert progressed(saga, decision) == decision


def test_what_a_saga_that_does_not_wait_does_is_left_as_it_is() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"a": held(ACTION)})
    decision = conclude(
        saga,
        "a",
        ACTION,
        Errored({"type": "E", "message": "…"}),
        epoch=EPOCH,
        token=TOKEN,
        timing=TIMING,
        chance=0,
    )
    assert progressed(saga, decision) is decision


def test_one_that_could_be_moved_on_after_all_has_not_stumbled() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=4, blocked=FOR_REPAIR)
    values = progressed(saga, looked_at(saga, lost=False)).values
    assert (values["failed_sweeps"], values["blocked"]) == (0, None)


def test_one_that_stumbled_once_still_waits_for_its_worker() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=1, blocked=FOR_A_WORKER)
    values = progressed(saga, looked_at(saga)).values
    assert values["failed_sweeps"] == 0
    assert "blocked" not in values


def test_a_void_message_does_not_count_as_moving_it_on() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, sent_at=NOW, failed_sweeps=4, blocked=FOR_REPAIR)
    void = claim(saga, "a", ACTION, epoch=EPOCH - 1, token=TOKEN, holder={}, timing=TIMING)
    assert progressed(saga, void) is void
