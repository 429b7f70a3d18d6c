"""What a decision results in: the saga after it, and the entries in its history."""

from typing import cast

import pytest

from sagas.decision import (
    Decision,
    Entry,
    Parked,
    SagaColumns,
    SagaFailure,
    StepChange,
    StepColumns,
    transition,
)
from sagas.events import Event
from sagas.states import SAGA_EDGES, STEP_EDGES, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    EPOCH,
    NOW,
    after,
    entries,
    made,
    planned,
    saga_at,
    seconds,
)

PLAN = [planned("a"), planned("b")]
FAILURE: SagaFailure = {"step": "b", "type": "E", "message": "…"}


@pytest.mark.parametrize("to", SagaStatus)
@pytest.mark.parametrize("before", SagaStatus)
def test_a_saga_takes_only_declared_edges(before: SagaStatus, to: SagaStatus) -> None:
    saga, decision = saga_at(before, PLAN), Decision(path=(to,))
    if to in SAGA_EDGES[before]:
        assert after(saga, decision).status is to
    else:
        with pytest.raises(AssertionError, match=f"no edge {before} -> {to}"):
            after(saga, decision)


@pytest.mark.parametrize("to", StepStatus)
@pytest.mark.parametrize("before", StepStatus)
def test_a_step_takes_only_declared_edges(before: StepStatus, to: StepStatus) -> None:
    saga = saga_at("IN_PROGRESS", PLAN, {"b": made(before)})
    decision = Decision(steps=(StepChange("b", ACTION, 1, to),))
    if to in STEP_EDGES[before]:
        assert after(saga, decision).step("b").status is to
    else:
        with pytest.raises(AssertionError, match=f"b: no edge {before} -> {to}"):
            after(saga, decision)


def test_a_saga_walks_through_every_status_of_the_path() -> None:
    path = (SagaStatus.COMPENSATING, SagaStatus.FAILED, SagaStatus.COMPLETED)
    assert after(saga_at("STARTED", PLAN), Decision(path=path)).status is SagaStatus.COMPLETED
    with pytest.raises(AssertionError, match="no edge COMPENSATING -> COMPLETED"):
        after(saga_at("STARTED", PLAN), Decision(path=(path[0], path[2])))


def test_the_columns_of_a_decision_are_applied_and_no_others_change() -> None:
    saga = saga_at("IN_PROGRESS", PLAN, checks=2, resends=1)
    values: SagaColumns = {"checks": 3, "sent_at": None, "due_at": seconds(9)}
    written = after(saga, Decision(raise_epoch=True, values=values))
    assert (written.checks, written.sent_at, written.resends) == (3, None, 1)
    assert written.epoch == EPOCH + 1
    assert after(saga, Decision(values={"due_at": seconds(9)})) == saga


def test_the_history_lists_the_note_then_the_steps_then_the_path_in_the_new_epoch() -> None:
    change = StepChange("b", ACTION, 2, StepStatus.FAILED, detail={"error": "no"})
    decision = Decision(
        path=(SagaStatus.COMPENSATING, SagaStatus.COMPENSATED),
        raise_epoch=True,
        steps=(change,),
        note=Event.TAKEN_OVER,
        why="the worker is gone",
    )
    saga = saga_at("IN_PROGRESS", PLAN, {"b": made("RUNNING")}, failure=FAILURE)
    assert entries(saga, decision) == [
        Entry(NOW, EPOCH + 1, Event.TAKEN_OVER, detail={"why": "the worker is gone"}),
        Entry(NOW, EPOCH + 1, Event.FAILED, "b", ACTION, 2, {"error": "no"}),
        Entry(NOW, EPOCH + 1, Event.COMPENSATING, detail=FAILURE),
        Entry(NOW, EPOCH + 1, Event.COMPENSATED),
    ]


def test_a_turn_back_gives_the_failure_of_the_same_decision_as_its_reason() -> None:
    decision = Decision(path=(SagaStatus.COMPENSATING,), values={"failure": FAILURE})
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), decision)
    assert entry.detail == FAILURE


def test_a_parked_saga_says_why_in_its_history() -> None:
    parked: Parked = {"reason": "…", "steps": ["b"], "operation": ACTION}
    decision = Decision(path=(SagaStatus.FAILED,), values={"parked": parked})
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), decision)
    assert entry == Entry(NOW, EPOCH, Event.FAILED, detail=parked)


def test_a_decision_that_only_changes_columns_leaves_no_entry() -> None:
    assert entries(saga_at("IN_PROGRESS", PLAN), Decision(values={"checks": 1})) == []


def test_a_note_without_a_persons_reason_has_no_detail() -> None:
    (entry,) = entries(saga_at("IN_PROGRESS", PLAN), Decision(note=Event.SENT))
    assert entry == Entry(NOW, EPOCH, Event.SENT)


def test_a_column_that_no_decision_may_write_is_refused() -> None:
    for columns in ({"epoch": 9}, {"looks": 1}):
        with pytest.raises(AssertionError, match=f"no decision may write {next(iter(columns))}"):
            after(saga_at("IN_PROGRESS", PLAN), Decision(values=cast("SagaColumns", columns)))
    change = StepChange("b", ACTION, 1, StepStatus.RUNNING, cast("StepColumns", {"state": 1}))
    with pytest.raises(AssertionError, match="no decision may write state"):
        after(saga_at("IN_PROGRESS", PLAN), Decision(steps=(change,)))


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="'sent twice' is not a valid Event"):
        after(saga_at("IN_PROGRESS", PLAN), Decision(note=cast("Event", "sent twice")))


def test_a_transition_raises_an_alert_when_it_parks_or_blocks_the_saga() -> None:
    saga = saga_at("IN_PROGRESS", PLAN)
    blocked = Decision(values={"blocked": {"reason": "…", "steps": ["a"]}})
    parked = Decision(path=(SagaStatus.FAILED,))
    assert transition(saga, lambda _: blocked).alert == "blocked"
    assert transition(saga, lambda _: parked).alert == "parked"
    assert transition(saga, lambda _: Decision(values={"blocked": None})).alert is None
