"""The states and their edges."""

from collections.abc import Mapping
from typing import Any

import pytest

from sagas.decision import Timing
from sagas.states import ENDED, FORWARD, SAGA_EDGES, STEP_EDGES, Outcome, SagaStatus, StepStatus

SETTLED = {StepStatus.SKIPPED, StepStatus.COMPENSATED}


@pytest.mark.parametrize(("edges", "states"), [(SAGA_EDGES, SagaStatus), (STEP_EDGES, StepStatus)])
def test_every_state_declares_its_edges(edges: Mapping[Any, Any], states: Any) -> None:
    assert set(edges) == set(states)


@pytest.mark.parametrize(
    ("edges", "first"), [(SAGA_EDGES, SagaStatus.STARTED), (STEP_EDGES, StepStatus.PENDING)]
)
def test_every_state_can_be_reached_from_the_first(edges: Mapping[Any, Any], first: Any) -> None:
    reached, new = {first}, {first}
    while new:
        new = {there for here in new for there in edges[here]} - reached
        reached |= new
    assert reached == set(edges)


def test_a_saga_that_has_ended_goes_no_further_unless_it_is_parked() -> None:
    without = {status for status, there in SAGA_EDGES.items() if not there}
    assert without == ENDED - {SagaStatus.FAILED}


def test_a_settled_step_goes_no_further() -> None:
    assert {status for status, there in STEP_EDGES.items() if not there} == SETTLED


def test_only_a_parked_saga_goes_forward_again() -> None:
    back = {status for status in set(SagaStatus) - FORWARD if SAGA_EDGES[status] & FORWARD}
    assert back == {SagaStatus.FAILED}


def test_a_saga_is_compensated_by_its_compensations_or_by_a_person() -> None:
    before = {status for status, there in SAGA_EDGES.items() if SagaStatus.COMPENSATED in there}
    assert before == {SagaStatus.COMPENSATING, SagaStatus.FAILED}


def test_a_step_is_never_undone_from_a_state_in_which_it_certainly_had_no_effect() -> None:
    before = {status for status, there in STEP_EDGES.items() if StepStatus.COMPENSATING in there}
    assert before.isdisjoint({StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED})


def test_the_value_of_every_status_is_its_name() -> None:
    for states in (SagaStatus, StepStatus, Outcome):
        assert all(state.name == state.value == str(state) for state in states)


def test_a_saga_goes_forward_or_turns_back_or_has_ended() -> None:
    assert set(SagaStatus) == FORWARD | ENDED | {SagaStatus.COMPENSATING}


def test_the_durations_of_the_decisions_are_in_order() -> None:
    timing = Timing()
    assert timing.timer_s <= timing.lease_s < timing.max_check_interval_s
