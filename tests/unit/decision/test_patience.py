"""Patience with a message of which nothing is known ends with a copy, and doubles."""

from typing import Any

import pytest

from sagas.decision import (
    PATIENCE_LEASES,
    Decision,
    Dispatch,
    Evidence,
    SagaState,
    advance,
    claim,
)
from tests.support.states import (
    ACTION,
    EPOCH,
    NOW,
    TIMING,
    TOKEN,
    after,
    planned,
    saga_at,
    seconds,
)

PLAN = [planned("a"), planned("b")]
PATIENCE_S = PATIENCE_LEASES * TIMING.lease_s


def waiting(*, waited_s: float = PATIENCE_S, **more: Any) -> SagaState:
    return saga_at("STARTED", PLAN, sent_at=seconds(-waited_s), **more)


def checked(saga: SagaState, **known: Any) -> Decision:
    evidence = Evidence(**{"silent": True, **known})
    return advance(
        saga, alive=lambda _: True, lost=False, timing=TIMING, chance=0, evidence=evidence
    )


def test_a_copy_of_the_same_epoch_is_sent_once_patience_is_over() -> None:
    saga = waiting()
    decision = checked(saga)
    assert decision.dispatch == Dispatch(ACTION, ("a", "b"))
    assert (decision.raise_epoch, decision.note) == (False, "sent once more")
    assert (after(saga, decision).epoch, after(saga, decision).copies) == (EPOCH, 1)
    assert decision.values["sent_at"] == NOW


def test_nothing_is_sent_before() -> None:
    assert checked(waiting(waited_s=PATIENCE_S - 0.1)).dispatch is None


@pytest.mark.parametrize("copies", [1, 3])
def test_patience_doubles_with_each_copy(copies: int) -> None:
    patience_s = PATIENCE_S * 2**copies
    assert checked(waiting(waited_s=patience_s - 0.1, copies=copies)).dispatch is None
    assert checked(waiting(waited_s=patience_s, copies=copies)).dispatch


def test_a_saga_that_has_waited_for_years_is_still_sent() -> None:
    assert checked(waiting(waited_s=1e8, copies=1_000_000)).dispatch


@pytest.mark.parametrize("known", [{"silent": False}, {"unconsumed": "q"}], ids=str)
def test_no_copy_is_sent_where_something_is_known(known: dict[str, Any]) -> None:
    assert checked(waiting(), **known).dispatch is None


def test_a_copy_is_no_resend_that_alerts_people() -> None:
    decision = checked(waiting(resends=2))
    assert "resends" not in decision.values
    assert "blocked" not in decision.values


def test_a_claim_ends_the_doubling() -> None:
    saga = waiting(copies=4)
    claimed = claim(saga, "a", ACTION, epoch=EPOCH, token=TOKEN, holder={}, timing=TIMING)
    assert after(saga, claimed).copies == 0
