"""What a saga's turn says, and of which sagas it says nothing."""

from dataclasses import replace
from typing import Any

import pytest

from sagas.decision import turn_of, waiting
from sagas.plan import Plan
from tests.support.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    NOW,
    TOKEN,
    held,
    made,
    planned,
    present,
    saga_at,
    seconds,
)

PLAN = (planned("a"), planned("b"), planned("c"))
DONE = made("SUCCESS")


def test_it_is_the_turn_of_the_step_whose_message_is_on_the_way() -> None:
    assert turn_of(saga_at("STARTED", PLAN, {}, sent_at=NOW)) == "a"
    assert turn_of(saga_at("IN_PROGRESS", PLAN, {"a": DONE}, sent_at=NOW)) == "b"


def test_it_is_the_turn_of_the_claim_that_holds_the_step() -> None:
    assert turn_of(saga_at("IN_PROGRESS", PLAN, {"a": held(ACTION)})) == TOKEN
    assert turn_of(saga_at("IN_PROGRESS", PLAN, {"a": DONE, "b": held(ACTION)})) == TOKEN


@pytest.mark.parametrize(
    "trouble",
    [
        {"failure": {"step": None, "type": "Cancelled", "message": "…"}},
        {"parked": {"reason": "…", "steps": ["b"], "operation": ACTION}},
        {"blocked": {"reason": "…", "steps": ["b"]}},
        {"deadline_at": seconds(9)},
        {"resends": 1},
        {"copies": 1},
        {"failed_sweeps": 1},
    ],
    ids=lambda trouble: next(iter(trouble)),
)
def test_a_saga_in_trouble_has_no_turn(trouble: dict[str, Any]) -> None:
    waits = saga_at("IN_PROGRESS", PLAN, {"a": DONE}, sent_at=NOW)
    runs = saga_at("IN_PROGRESS", PLAN, {"a": DONE, "b": held(ACTION)})
    assert (turn_of(waits), turn_of(runs)) == ("b", TOKEN)
    for saga in (waits, runs):
        assert turn_of(replace(saga, **trouble)) is None


@pytest.mark.parametrize(
    "step",
    [
        held(ACTION, attempts=2),
        held(ACTION, doubtful=True),
        held(ACTION, losses=1),
        held(ACTION, probe_attempt=1),
        made("UNKNOWN", waits=True),
    ],
)
def test_a_step_that_was_tried_before_has_no_turn(step: dict[str, Any]) -> None:
    assert turn_of(saga_at("IN_PROGRESS", PLAN, {"a": step}, sent_at=NOW)) is None


def test_a_message_that_is_not_on_the_way_has_no_turn() -> None:
    assert turn_of(saga_at("STARTED", PLAN, {}, sent_at=None)) is None


def test_a_condition_that_skips_a_later_step_takes_the_turn() -> None:
    skipped = saga_at("STARTED", PLAN, {"c": made("SKIPPED")}, sent_at=NOW)
    assert turn_of(skipped) is None
    passed = saga_at("IN_PROGRESS", PLAN, {"a": DONE, "b": made("SKIPPED")}, sent_at=NOW)
    assert turn_of(passed) == "c"
    assert turn_of(saga_at("STARTED", PLAN, {"a": made("SKIPPED")}, sent_at=NOW)) is None


def test_the_way_back_and_the_end_have_no_turn() -> None:
    undoing = {"a": held(COMPENSATION)}
    assert turn_of(saga_at("COMPENSATING", PLAN, undoing)) is None
    over = saga_at("COMPLETED", PLAN, {"a": DONE, "b": DONE, "c": DONE})
    assert turn_of(over) is None


def test_what_is_predicted_has_the_turn_that_it_was_predicted_from() -> None:
    plan, saga_id = Plan("p", PLAN), saga_at("STARTED", PLAN).id
    for step in ("a", "b", "c"):
        predicted = present(waiting(saga_id, plan, step, EPOCH))
        assert predicted.turn == turn_of(predicted) == step
        assert predicted.epoch == EPOCH
    assert waiting(saga_id, plan, "no such step", EPOCH) is None
