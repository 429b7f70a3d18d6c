"""What a decision comes to: the saga after it, and what its history says."""

import pytest

from sagas.decision import Decision, Entry, StepChange, entries, written
from sagas.states import SAGA_EDGES, STEP_EDGES, SagaStatus, StepStatus
from tests.unit.decision.states import ACTION, EPOCH, NOW, made, planned, saga_at, seconds

PLAN = [planned("a"), planned("b")]
FAILURE = {"step": "b", "type": "E"}


@pytest.mark.parametrize("after", SagaStatus)
@pytest.mark.parametrize("before", SagaStatus)
def test_a_saga_takes_an_edge_that_is_drawn_and_no_other(
    before: SagaStatus, after: SagaStatus
) -> None:
    saga, decision = saga_at(before, PLAN), Decision(path=(after,))
    if after in SAGA_EDGES[before]:
        assert written(saga, decision).status is after
    else:
        with pytest.raises(AssertionError, match=f"no edge {before} -> {after}"):
            written(saga, decision)


@pytest.mark.parametrize("after", StepStatus)
@pytest.mark.parametrize("before", StepStatus)
def test_a_step_takes_an_edge_that_is_drawn_and_no_other(
    before: StepStatus, after: StepStatus
) -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"b": made(before)})
    decision = Decision(steps=(StepChange("b", ACTION, 1, after),))
    if after in STEP_EDGES[before]:
        assert written(saga, decision).step("b").status is after
    else:
        with pytest.raises(AssertionError, match=f"b: no edge {before} -> {after}"):
            written(saga, decision)


def test_a_saga_walks_through_every_status_of_the_path() -> None:
    path = (SagaStatus.COMPENSATING, SagaStatus.FAILED, SagaStatus.COMPLETED)
    assert written(saga_at("STARTED", PLAN), Decision(path=path)).status is SagaStatus.COMPLETED
    with pytest.raises(AssertionError, match="no edge COMPENSATING -> COMPLETED"):
        written(saga_at("STARTED", PLAN), Decision(path=(path[0], path[2])))


def test_the_columns_that_decisions_look_at_are_those_of_the_decision_and_no_other_changes() -> (
    None
):
    saga = saga_at("IN_PROGRESS", PLAN, checks=2, resends=1)
    values = {"checks": 3, "sent_at": None, "due_at": seconds(9)}
    after = written(saga, Decision(raise_epoch=True, values=values))
    assert (after.checks, after.sent_at, after.resends) == (3, None, 1)
    assert after.epoch == EPOCH + 1
    assert written(saga, Decision(values={"due_at": seconds(9)})) == saga


def test_the_history_tells_the_note_then_the_steps_then_the_path_all_of_the_new_epoch() -> None:
    change = StepChange("b", ACTION, 2, StepStatus.FAILED, detail={"error": "no"})
    decision = Decision(
        path=(SagaStatus.COMPENSATING, SagaStatus.COMPENSATED),
        raise_epoch=True,
        steps=(change,),
        note="taken over",
        why="the worker is gone",
    )
    saga = saga_at("IN_PROGRESS", PLAN, {"b": made("RUNNING")}, failure=FAILURE)
    assert list(entries(saga, decision)) == [
        Entry(NOW, EPOCH + 1, "taken over", detail={"why": "the worker is gone"}),
        Entry(NOW, EPOCH + 1, "FAILED", "b", ACTION, 2, {"error": "no"}),
        Entry(NOW, EPOCH + 1, "COMPENSATING", detail=FAILURE),
        Entry(NOW, EPOCH + 1, "COMPENSATED"),
    ]


def test_a_saga_that_turns_back_says_what_was_decided_just_now_to_be_the_reason() -> None:
    decision = Decision(path=(SagaStatus.COMPENSATING,), values={"failure": FAILURE})
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), decision)
    assert entry.detail == FAILURE


def test_a_parked_saga_says_why_in_its_history() -> None:
    parked = {"reason": "…", "steps": ["b"], "operation": ACTION}
    decision = Decision(path=(SagaStatus.FAILED,), values={"parked": parked})
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), decision)
    assert entry == Entry(NOW, EPOCH, "FAILED", detail=parked)


def test_a_decision_that_nothing_came_of_leaves_no_entry() -> None:
    assert list(entries(saga_at("IN_PROGRESS", PLAN), Decision(values={"checks": 1}))) == []


def test_a_note_without_a_persons_reason_has_no_detail() -> None:
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), Decision(note="sent"))
    assert entry == Entry(NOW, EPOCH, "sent")
