"""The rules about all sagas together: each is broken once and kept once."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from sagas import Alert
from sagas.testing import Options
from sagas.testing.record_rules import RecordRules
from tests.unit.testing.notation import SAGA, effects, observed

STUCK = (
    "STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; b RUNNING; b FAILED; 2: COMPENSATING; "
    "a- COMPENSATING; a- COMPENSATION_FAILED; FAILED"
)
STRANGER = UUID(int=9)


def broken(evidence: Options, **ledger: str) -> list[str]:
    """Return the violations of one parked saga, T-1; the ledger is given by saga."""
    ids = {"own": SAGA, "stranger": STRANGER}
    ledgers = {ids[whose]: effects(text, ids[whose]) for whose, text in ledger.items()}
    rules = RecordRules(evidence, ledgers)
    rules.add(observed(STUCK))
    return [str(violation) for violation in rules.violations()]


def alert(epoch: int) -> Alert:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Alert("saga.parked", SAGA, "trip", "T-1", epoch, "…", ("a",), None, at)


GOOD: dict[str, Options] = {
    "nothing else was seen": {},
    "every row has its saga": {"keys": {"trip": ["T-1"]}},
    "a receiver got an alert twice": {"delivered": {"log": [alert(2), alert(2)]}},
    "as much as before": {"conserved": {"money": (100, 100)}},
    "no canary": {"canaries": ["tweet"], "texts": {"the log": "silence"}},
    "an empty queue": {"queues": {"celery": 0}},
}

BAD: dict[str, tuple[str, Any]] = {
    "the row T-2 is committed, but has no saga trip": ("S1", {"keys": {"trip": ["T-1", "T-2"]}}),
    "the saga trip T-1 exists, but its row does not": ("S1", {"keys": {"trip": []}}),
    "log did not get the alert of epoch 2": ("S12", {"delivered": {"log": []}}),
    "log got an alert of epoch 3, which was never raised": (
        "S12",
        {"delivered": {"log": [alert(2), alert(3)]}},
    ),
    "money changed from 100 to 99": ("S13", {"conserved": {"money": (100, 99)}}),
    "canary 2 is in the log": (
        "S15",
        {"canaries": ["silence", "tweet"], "texts": {"the log": "a tweet"}},
    ),
    "1 messages are left in celery": ("L2", {"queues": {"celery": 1}}),
}


@pytest.mark.parametrize("name", GOOD)
def test_sagas_that_keep_every_rule_pass(name: str) -> None:
    assert broken(GOOD[name], own="a+") == []


@pytest.mark.parametrize("text", BAD)
def test_a_broken_rule_is_reported(text: str) -> None:
    rule, evidence = BAD[text]
    (said,) = broken(evidence, own="a+")
    assert said.startswith(rule)
    assert said.endswith(text)


def test_an_effect_without_a_saga_breaks_s1() -> None:
    (said,) = broken({}, own="a+", stranger="a+")
    assert said == f"S1: the action of a was applied for {STRANGER}, which is not a saga"


def test_a_key_that_two_sagas_share_breaks_s4() -> None:
    said = broken({}, own="a+@K", stranger="a+@K")
    assert any(line.endswith("it shares the key K with trip T-1") for line in said)
    weak = broken({"at_least_once": {"a"}}, own="a+@K", stranger="a+@K")
    assert not any("shares" in line for line in weak)
    refused = broken({}, own="a+@K", stranger="a+=@K")
    assert not any("shares" in line for line in refused)


def test_a_violation_about_a_canary_does_not_repeat_it() -> None:
    (said,) = broken({"canaries": ["tweet"], "texts": {"the log": "a tweet"}}, own="a+")
    assert "tweet" not in said
