"""The plan as data."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sagas.errors import PlanUnreadable
from sagas.plan import Plan, PlannedCall, PlannedStep
from sagas.retry import Retry

RETRY = Retry(max_attempts=4, wait_initial=0.2)
CHARGE = PlannedCall("payment.charge", "payment", RETRY, 10.0)
REFUND = PlannedCall("payment.refund", "payment", RETRY, None)
STEPS = (
    PlannedStep("order", PlannedCall("order.create", None, RETRY, None), None),
    PlannedStep("charge", CHARGE, REFUND),
    PlannedStep("notify", CHARGE, None, best_effort=True),
)
PLAN = Plan("order", STEPS)


def changed_call(**change: Any) -> Plan:
    return Plan("order", (STEPS[0], replace(STEPS[1], action=replace(CHARGE, **change)), STEPS[2]))


def test_the_hash_of_a_plan_never_changes() -> None:
    # Sagas in every user's record are pinned to such hashes. A new hash would strand none of them,
    # but it would store every plan again. Change it only on purpose.
    assert Plan("order", STEPS[:1]).to_json() == (
        '{"deadline_s":null,"name":"order","steps":[{"action":{"priority":null,"queue":null,"retry":{"max_attempts":4,'
        '"max_losses":5,"max_postponed":3600.0,"wait_exp_base":2.0,"wait_initial":0.2,"wait_jitter":0.2,"wait_max":60.0},'
        '"task":"order.create","timeout_s":null},"best_effort":false,"compensation":null,'
        '"name":"order","pivot":false,"probe":false,"read_only":false}]}'
    )
    assert len(PLAN.hash) == 64
    assert PLAN.hash == Plan("order", STEPS).hash


def test_a_plan_survives_a_round_trip_through_json() -> None:
    again = Plan.from_json(PLAN.to_json())
    assert again == PLAN
    assert again.hash == PLAN.hash


def test_the_order_of_keys_in_the_stored_text_is_irrelevant() -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reversed_keys(value[name]) for name in reversed(value)}
        return [reversed_keys(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(reversed_keys(json.loads(PLAN.to_json())), indent=1)
    assert text != PLAN.to_json()
    assert Plan.from_json(text).hash == PLAN.hash


@pytest.mark.parametrize(
    "other",
    [
        Plan("another", STEPS),
        Plan("order", STEPS[::-1]),
        Plan("order", STEPS[:2]),
        Plan("order", (*STEPS[:2], replace(STEPS[2], best_effort=False))),
        Plan("order", (*STEPS[:2], replace(STEPS[2], name="mail"))),
        Plan("order", (STEPS[0], replace(STEPS[1], compensation=None), STEPS[2])),
        changed_call(task="payment.charge2"),
        changed_call(queue=None),
        changed_call(timeout_s=11.0),
        changed_call(retry=Retry(max_attempts=5, wait_initial=0.2)),
    ],
    ids=[
        "name",
        "order of steps",
        "steps",
        "best effort",
        "step's name",
        "compensation",
        "task",
        "queue",
        "timeout",
        "retry",
    ],
)
def test_any_difference_gives_another_hash(other: Plan) -> None:
    assert other.hash != PLAN.hash


def test_equal_plans_have_equal_hashes_however_their_numbers_are_written() -> None:
    # An application that writes 2 for 2.0 after an upgrade has changed nothing.
    one, other = (
        changed_call(retry=Retry(wait_exp_base=base, wait_jitter=jitter))
        for base, jitter in ((2, 0), (2.0, 0.0))
    )
    assert one == other
    assert one.hash == other.hash


def test_steps_are_found_by_name() -> None:
    assert PLAN["charge"] is STEPS[1]
    assert [step.name for step in PLAN] == ["order", "charge", "notify"]
    with pytest.raises(KeyError, match="refund"):
        PLAN["refund"]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        PLAN.to_json().replace('"best_effort"', '"of_a_newer_version"'),
        PLAN.to_json().replace('"max_attempts":4', '"max_attempts":0'),
    ],
    ids=["no JSON", "no object", "empty", "a newer version's", "out of range"],
)
def test_the_error_for_an_unreadable_plan_says_what_to_do(text: str) -> None:
    with pytest.raises(PlanUnreadable, match="deploy that one; otherwise it is damaged"):
        Plan.from_json(text)
