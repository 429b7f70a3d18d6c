"""Each rule is broken by a saga that breaks nothing else, and kept by one that almost breaks it."""

from typing import Any

import pytest

from sagas.states import SagaStatus, StepStatus
from sagas.testing import violations_of
from tests.support.states import planned
from tests.unit.testing.notation import observed

# Beginnings and whole histories of a saga of two steps that can be undone.
A = "STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; "
B = A + "b RUNNING; b SUCCESS; "
DONE = B + "COMPLETED"
REFUSED = A + "b RUNNING; b FAILED; 2: COMPENSATING; "
UNDONE = REFUSED + "a- COMPENSATING; a- COMPENSATED; COMPENSATED"
BROKEN = A + "b RUNNING; b UNKNOWN; "
BOTH = BROKEN + "2: COMPENSATING; b- COMPENSATING; b- COMPENSATED; "
BOTH_UNDONE = BOTH + "a- COMPENSATING; a- COMPENSATED; COMPENSATED"
STUCK = REFUSED + "a- COMPENSATING; a- COMPENSATION_FAILED; FAILED"

# The same for a saga past its pivot, from the point where it parks.
PIVOT: dict[str, Any] = {
    "plan": [planned("a"), planned("b", undo=False, pivot=True), planned("c", undo=False)]
}
PAST = B + "c RUNNING; c FAILED; 2: FAILED"
IN_DOUBT = BROKEN + "2: FAILED"

PROBED: dict[str, Any] = {"plan": [planned("a", probe=True)]}
ASKED = "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN ?retry_in_s; 2: a RUNNING; "
# A step of one attempt that its participant postpones, for a minute at most.
ONCE: dict[str, Any] = {"plan": [planned("a", attempts=1, undo_attempts=1, postponed=60.0)]}


def waits(number: int, seconds: int) -> str:
    return f" ?retry_in_s=5,postponements={number},postponed_s={seconds}; "


BUSY = "STARTED; a RUNNING; IN_PROGRESS; 2: a PENDING" + waits(1, 5) + "a RUNNING #2; "
KINDS: dict[str, Any] = {
    "plan": [
        planned("a", undo=False, best_effort=True),
        planned("b", undo=False, read_only=True),
        planned("c"),
    ]
}

Case = tuple[str, str | None, dict[str, Any], dict[str, Any]]


TERMS = ("running", "parked", "at_least_once", "no_ledger")


def case(history: str, ledger: str | None = None, **given: Any) -> Case:
    """Separate what is given about the saga from the terms that apply to it."""
    terms = {name: given.pop(name) for name in list(given) if name in TERMS}
    return history, ledger, given, terms


GOOD: dict[str, Case] = {
    "completed": case(DONE, "a+ b+"),
    "completed, without a known ledger": case(DONE),
    "compensated": case(UNDONE, "a+ a-"),
    "compensated after a doubt": case(BOTH_UNDONE, "a+ b+ b- a-"),
    "a null compensation": case(BOTH_UNDONE, "a+ b-! a-"),
    "an action that the tombstone refused": case(BOTH_UNDONE, "a+ b-! b+! a-"),
    "repeats that were recognised": case(DONE, "a+ a+= b+ b+="),
    "an action with its key at every attempt": case(DONE, "a+@A a+=@A b+@B"),
    "compensated before anything ran": case("STARTED; 2: cancelled; COMPENSATING; COMPENSATED"),
    "every step skipped": case("STARTED; a SKIPPED #0; b SKIPPED #0; COMPLETED", ""),
    "a step that errored, was taken over and was retried": case(
        A
        + "b RUNNING; 2: taken over; b UNKNOWN ?retry_in_s; b RUNNING #2; b SUCCESS #2; COMPLETED",
        "a+ b+",
    ),
    "a compensation that errored and was retried": case(
        REFUSED + "a- COMPENSATING; 3: a- COMPENSATING ?retry_in_s; a- COMPENSATING #2; "
        "a- COMPENSATED #2; COMPENSATED",
        "a+ a-",
    ),
    "parked": case(STUCK, "a+"),
    "parked as expected": case(STUCK, "a+", parked={"T-1"}),
    "not parked as expected": case(DONE, "a+ b+", parked=()),
    "retried by a person": case(
        STUCK + "; 3: retried; a- COMPENSATING #0; COMPENSATING; a- COMPENSATING; a- COMPENSATED; "
        "COMPENSATED",
        "a+ a-",
    ),
    "skipped by a person on the way back": case(
        STUCK + "; 3: skipped by operator; a- SKIPPED; COMPENSATING; COMPENSATED", "a+"
    ),
    "resolved by a person, against its direction": case(
        STUCK + "; 3: resolved; COMPLETED", "a+ a-"
    ),
    "parked past its pivot, and retried": case(
        PAST + "; 3: retried; c PENDING #0; IN_PROGRESS; c RUNNING; c SUCCESS; COMPLETED",
        "a+ b+ c+",
        **PIVOT,
    ),
    "a step skipped past the pivot, which had not happened": case(
        PAST + "; 3: skipped by operator; c SKIPPED; IN_PROGRESS; COMPLETED", "a+ b+", **PIVOT
    ),
    "a pivot in doubt, done by hand": case(
        IN_DOUBT
        + "; 3: skipped by operator; b SKIPPED; IN_PROGRESS; c RUNNING; c SUCCESS; COMPLETED",
        "a+ b+ c+",
        **PIVOT,
    ),
    "a pivot in doubt, retried": case(
        IN_DOUBT + "; 3: retried; b UNKNOWN #0; IN_PROGRESS; b RUNNING; b SUCCESS; c RUNNING; "
        "c SUCCESS; COMPLETED",
        "a+ b+ c+",
        **PIVOT,
    ),
    "a pivot in doubt that can be undone": case(
        BOTH_UNDONE, "a+ b+ b- a-", plan=[planned("a"), planned("b", pivot=True)]
    ),
    "a pivot whose undo failed, undone by hand": case(
        BROKEN + "2: COMPENSATING; b- COMPENSATING; b- COMPENSATION_FAILED; a- COMPENSATING; "
        "a- COMPENSATION_FAILED; FAILED; 3: skipped by operator; b- SKIPPED; "
        "4: skipped by operator; a- SKIPPED; COMPENSATING; COMPENSATED",
        "a+ b+",
        plan=[planned("a"), planned("b", pivot=True)],
    ),
    "a step that nothing can undo, skipped by a person": case(
        REFUSED + "FAILED; 3: skipped by operator; a- SKIPPED; COMPENSATING; COMPENSATED",
        "a+",
        plan=[planned("a", undo=False), planned("b")],
    ),
    "a best-effort step may fail, and a read-only step leaves nothing to undo": case(
        "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN; b RUNNING; b SUCCESS; c RUNNING; c FAILED; "
        "2: COMPENSATING; COMPENSATED",
        "a+ b+",
        **KINDS,
    ),
    "a read-only step needs no line": case(
        "STARTED; a RUNNING; IN_PROGRESS; a FAILED; b RUNNING; b SUCCESS; c RUNNING; c SUCCESS; "
        "COMPLETED",
        "c+",
        **KINDS,
    ),
    "the probe ruled an effect out": case(
        ASKED + "a FAILED ?probe; 3: COMPENSATING; COMPENSATED", "", **PROBED
    ),
    "the probe ruled an effect out, and a person's retry was refused": case(
        "STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; b RUNNING; b UNKNOWN ?retry_in_s; "
        "2: b RUNNING; b FAILED ?probe; 3: FAILED; 4: retried; b PENDING #0; IN_PROGRESS; "
        "b RUNNING; b FAILED; 5: FAILED",
        "a+",
        plan=[planned("a", pivot=True), planned("b", probe=True)],
    ),
    "a step that was postponed, and had a single attempt": case(
        BUSY + "3: a PENDING #2" + waits(2, 60) + "a RUNNING #3; a SUCCESS #3; COMPLETED",
        "a+",
        **ONCE,
    ),
    "a postponed step that was in doubt": case(
        "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN ?retry_in_s; 2: a RUNNING #2; 3: a UNKNOWN #2"
        + waits(1, 5)
        + "a RUNNING #3; a SUCCESS #3; COMPLETED",
        "a+",
        plan=[planned("a", attempts=2)],
    ),
    "a saga that turned back while its step was postponed": case(
        "STARTED; a RUNNING; IN_PROGRESS; 2: a PENDING"
        + waits(1, 5)
        + "3: cancelled; COMPENSATING; COMPENSATED",
        "",
        **ONCE,
    ),
    "a postponed compensation": case(
        "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN; 2: COMPENSATING; a- COMPENSATING; "
        "3: a- COMPENSATING" + waits(1, 60) + "a- COMPENSATING #2; a- COMPENSATED #2; COMPENSATED",
        "a+ a-",
        **ONCE,
    ),
    "a participant that recognises no repeat": case(
        BOTH_UNDONE, "a+ a+ b-! b+ a- a-", at_least_once={"a", "b"}
    ),
    "a participant without a ledger": case(DONE, "a+", no_ledger={"b"}),
    "a retry in the future": case(BROKEN.removesuffix("; ") + " ?retry_in_s", "a+", waits=True),
    "under way": case(A + "b RUNNING", "a+ b+", running=True),
    "an unchanged plan": case(DONE, plan_id="1f", plan_hash="1f"),
}

ONE: dict[str, Any] = {"plan": [planned("a")]}
OTHER_WAY = "2: COMPENSATING; a- COMPENSATING; a- COMPENSATED; b- COMPENSATING; b- COMPENSATED; "
SUCCEEDED = dict.fromkeys("ab", StepStatus.SUCCESS)

#: What is wrong, and the rule that it breaks, or the two that it breaks inevitably.
BAD: dict[str, tuple[str, Case]] = {
    "it was parked before a step was undone": (
        "S6",
        case(BROKEN + "2: COMPENSATING; b- COMPENSATING; b- COMPENSATION_FAILED; FAILED", "a+ b+"),
    ),
    "it is parked, and a step that counts as undone is not": (
        "S6",
        case(
            BROKEN + "2: COMPENSATING; b- COMPENSATING; b- COMPENSATION_FAILED; "
            "a- COMPENSATING; a- COMPENSATED; FAILED",
            "a+ b+",
        ),
    ),
    "it was parked where it could have turned back": (
        "S6",
        case(A + "b RUNNING; b FAILED; 2: FAILED", "a+"),
    ),
    "it is parked past a pivot that never took effect": ("S5", case(PAST, "a+", **PIVOT)),
    "it turned back from a pivot in doubt": (
        "S6",
        case(
            BROKEN + "2: COMPENSATING; a- COMPENSATING; a- COMPENSATED; FAILED", "a+ b+ a-", **PIVOT
        ),
    ),
    "it turned back from a pivot that runs": (
        "S6",
        case(
            A + "b RUNNING; 2: cancelled; COMPENSATING; a- COMPENSATING; a- COMPENSATED; FAILED",
            "a+ b+ a-",
            **PIVOT,
        ),
    ),
    "an attempt was taken over, and could still write": (
        "S10",
        case(
            A + "b RUNNING; taken over; b UNKNOWN ?retry_in_s; 2: b RUNNING #2; b SUCCESS #2; "
            "COMPLETED",
            "a+ b+",
        ),
    ),
    "an attempt that was over wrote its outcome": (
        "S10",
        case(A + "b RUNNING; b UNKNOWN ?retry_in_s; 2: b RUNNING #2; b SUCCESS #1; COMPLETED"),
    ),
    "it turned back in the epoch of an attempt": (
        "S10",
        case(REFUSED.replace("2: ", "") + "a- COMPENSATING; a- COMPENSATED; COMPENSATED", "a+ a-"),
    ),
    "a step was attempted more often than its plan allows": (
        "S9",
        case(A + "b RUNNING #99; b SUCCESS #99; COMPLETED", "a+ b+"),
    ),
    "a step was skipped in the middle by nobody": (
        "S2",
        case(A + "b SKIPPED #0; COMPLETED", "a+"),
    ),
    "it began in the middle": ("S2", case("IN_PROGRESS; a RUNNING; a SUCCESS; COMPLETED", **ONE)),
    "it took an undeclared edge": ("S2", case(B + "STARTED; COMPLETED")),
    "a step took an undeclared edge": (
        "S2",
        case(A + "a RUNNING #2; a SUCCESS #2; b RUNNING; b SUCCESS; COMPLETED"),
    ),
    "a step went to an unknown status": (
        "S2",
        case(B + "b COMPLETED; COMPLETED", steps=SUCCEEDED),
    ),
    "a note follows the end": ("S2", case(DONE + "; 2: taken over")),
    "a step follows the end": (
        "S2",
        case(A + "b RUNNING; b UNKNOWN ?retry_in_s; COMPLETED; b RUNNING #2; b SUCCESS #2"),
    ),
    "a note follows parking": ("S2", case(STUCK + "; taken over")),
    "it is not where its history ends": (
        "S2",
        case(B.removesuffix("; "), status=SagaStatus.COMPLETED),
    ),
    "a step is not where its history ends": (
        "S2",
        case(DONE, steps={**SUCCEEDED, "b": StepStatus.SKIPPED}),
    ),
    "it left the parked state without a person": (
        "S2",
        case(PAST + "; 3: IN_PROGRESS", running=True, **PIVOT),
    ),
    "a step was skipped without a person": (
        "S2",
        case(PAST + "; 3: c SKIPPED; IN_PROGRESS; COMPLETED", **PIVOT),
    ),
    "a step was skipped without a person, and the saga stayed parked": (
        "S2",
        case(PAST + "; 3: c SKIPPED", **PIVOT),
    ),
    "a step that nothing can undo was skipped without a person": (
        "S2",
        case(REFUSED + "FAILED; 3: a- SKIPPED", plan=[planned("a", undo=False), planned("b")]),
    ),
    "it was completed, and then compensated": (
        "S3",
        case(
            "STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; COMPLETED; 2: COMPENSATED",
            plan=[planned("a", undo=False, read_only=True)],
        ),
    ),
    "it went forward after it had turned back": (
        "S3",
        case("STARTED; a SKIPPED #0; 2: COMPENSATING; b RUNNING; b FAILED; COMPENSATED"),
    ),
    "it was undone while it went forward": (
        "S3",
        case(
            A + "b RUNNING; b FAILED; a- COMPENSATING; a- COMPENSATED; 2: COMPENSATING; COMPENSATED"
        ),
    ),
    "an action was applied twice": ("S4", case(DONE, "a+ a+ b+")),
    "a compensation was applied twice": ("S4", case(UNDONE, "a+ a- a-")),
    "two effects share a key": ("S4", case(DONE, "a+@K b+@K")),
    "the first was taken for a repeat": ("S4", case(DONE, "a+ b+= b+")),
    "it completed without a step": ("S5", case(A + "COMPLETED")),
    "it completed without a best-effort step": (
        "S5",
        case(A + "COMPLETED", plan=[planned("a"), planned("b", best_effort=True)]),
    ),
    "it completed though a step had failed": ("S5", case(A + "b RUNNING; b FAILED; COMPLETED")),
    "it completed without an effect": ("S5", case(DONE, "a+")),
    "it completed, and an effect was undone": ("S5 S9", case(DONE, "a+ b+ b-")),
    "a step was skipped, and applied": (
        "S5 S9",
        case("STARTED; a SKIPPED #0; b RUNNING; IN_PROGRESS; b SUCCESS; COMPLETED", "a+ b+"),
    ),
    "a participant that recognises no repeat did nothing": (
        "S5",
        case(DONE, "b+", at_least_once={"a"}),
    ),
    "it ended with a step that is not undone": ("S6", case(REFUSED + "COMPENSATED")),
    "it ended with a best-effort step that is not undone": (
        "S6",
        case(REFUSED + "COMPENSATED", plan=[planned("a", best_effort=True), planned("b")]),
    ),
    "it ended with a step that nothing can undo": (
        "S6",
        case(REFUSED + "COMPENSATED", plan=[planned("a", undo=False), planned("b")]),
    ),
    "it ended with a step in doubt": (
        "S6",
        case(
            "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN; 2: COMPENSATING; COMPENSATED",
            plan=[planned("a")],
        ),
    ),
    "an effect is not undone": ("S6", case(UNDONE, "a+")),
    "it turned back past its pivot, and was parked": (
        "S6",
        case(B + "c RUNNING; c FAILED; 2: COMPENSATING; FAILED", **PIVOT),
    ),
    "it turned back past its pivot": (
        "S6",
        case(
            B
            + "c RUNNING; c FAILED; 2: COMPENSATING; a- COMPENSATING; a- COMPENSATED; COMPENSATED",
            **PIVOT,
        ),
    ),
    "it turned back past a pivot that a person took on": (
        "S6",
        case(
            IN_DOUBT + "; 3: skipped by operator; b SKIPPED; IN_PROGRESS; c RUNNING; c FAILED; "
            "4: COMPENSATING; a- COMPENSATING; a- COMPENSATED; COMPENSATED",
            **PIVOT,
        ),
    ),
    "an action was applied after its compensation": ("S7", case(BOTH_UNDONE, "a+ b- b+ a-")),
    "an action was applied after its tombstone": ("S6 S7", case(BOTH_UNDONE, "a+ b-! b+ a-")),
    "something was undone that was not applied": ("S7", case(BOTH_UNDONE, "a+ b- a-")),
    "it was undone in the order of the plan": ("S8", case(BROKEN + OTHER_WAY + "COMPENSATED")),
    "a step was undone before a later one": (
        "S8",
        case(
            BROKEN + "2: COMPENSATING; a- COMPENSATING; b- COMPENSATING; b- COMPENSATED; "
            "a- COMPENSATED; COMPENSATED"
        ),
    ),
    "a step ran before its turn": (
        "S9",
        case("STARTED; b RUNNING; IN_PROGRESS; b SUCCESS; a RUNNING; a SUCCESS; COMPLETED"),
    ),
    "a step ran before the previous one was committed": (
        "S9",
        case("STARTED; a RUNNING; IN_PROGRESS; b RUNNING; a SUCCESS; b SUCCESS; COMPLETED"),
    ),
    "a step ran while a best-effort step had an attempt left": (
        "S9",
        case(
            "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN ?retry_in_s; b RUNNING; b SUCCESS; "
            "c RUNNING; c SUCCESS; COMPLETED",
            **KINDS,
        ),
    ),
    "a step ran once more than its plan allows after it was postponed": (
        "S9",
        case(BUSY + "a UNKNOWN #2 ?retry_in_s; 3: a RUNNING #3; a SUCCESS #3; COMPLETED", **ONCE),
    ),
    "a step was postponed for longer than its plan allows": (
        "S9",
        case(
            BUSY + "3: a PENDING #2" + waits(2, 61) + "a RUNNING #3; a SUCCESS #3; COMPLETED",
            **ONCE,
        ),
    ),
    "a compensation was postponed for longer than its plan allows": (
        "S9",
        case(
            "STARTED; a RUNNING; IN_PROGRESS; a UNKNOWN; 2: COMPENSATING; a- COMPENSATING; "
            "3: a- COMPENSATING"
            + waits(1, 61)
            + "a- COMPENSATING #2; a- COMPENSATED #2; COMPENSATED",
            **ONCE,
        ),
    ),
    "an action was applied that nobody claimed": (
        "S9",
        case(A.removesuffix("; "), "a+ b+", running=True),
    ),
    "a compensation was applied that nobody claimed": (
        "S9",
        case(A + "b RUNNING", "a+ a-", running=True),
    ),
    "an old writer wrote": ("S10", case(A + "2: b RUNNING; 1: b SUCCESS; COMPLETED", epoch=2)),
    "the history is ahead of the saga": ("S10", case(UNDONE, epoch=1)),
    "the saga is ahead of its history": ("S10", case(DONE, epoch=3)),
    "a refusal denied an earlier attempt": (
        "S11",
        case(
            ASKED.replace("2: a RUNNING", "2: a RUNNING #2") + "a FAILED #2; 3: COMPENSATING; "
            "COMPENSATED",
            **ONE,
        ),
    ),
    "a postponement denied an earlier attempt": (
        "S11",
        case(
            ASKED.replace("2: a RUNNING", "2: a RUNNING #2")
            + "3: a PENDING #2"
            + waits(1, 5)
            + "a RUNNING #3; a SUCCESS #3; COMPLETED",
            **ONE,
        ),
    ),
    "a probe was asked before another attempt, not after": (
        "S11",
        case(
            ASKED.replace("2: a RUNNING", "2: a RUNNING #2") + "a FAILED #2 ?probe; "
            "3: COMPENSATING; COMPENSATED",
            **PROBED,
        ),
    ),
    "a doubt ended without the probe's answer": (
        "S11",
        case(ASKED + "a FAILED; 3: COMPENSATING; COMPENSATED", **PROBED),
    ),
    "an effect that was ruled out had happened": (
        "S11",
        case(
            "STARTED; a RUNNING; IN_PROGRESS; a FAILED; b RUNNING; b SUCCESS; c RUNNING; "
            "c SUCCESS; COMPLETED",
            "a+ c+",
            **KINDS,
        ),
    ),
    "it is parked without an alert": ("S12", case(STUCK, alerts=[])),
    "there are two alerts for one parking": ("S12", case(STUCK, alerts=[2, 3])),
    "its plan was changed": ("S14", case(DONE, plan_id="1f", plan_hash="2e")),
    "a step that is not in its plan has run": ("S14", case(DONE, plan=[planned("a")])),
    "a row is not in its plan": (
        "S14",
        case(DONE, steps={**SUCCEEDED, "x": StepStatus.SUCCESS}),
    ),
    "an effect is not in its plan": ("S14", case(DONE, "a+ b+ x+")),
    "it has not ended": ("L1", case(A + "b RUNNING")),
    "it is parked, and should not be": ("L1", case(STUCK, parked=())),
    "it is not parked, and should be": ("L1", case(DONE, parked={"T-1"})),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_saga_that_keeps_every_rule_passes(name: str) -> None:
    history, ledger, given, terms = GOOD[name]
    assert violations_of(observed(history, ledger, **given), **terms) == []


@pytest.mark.parametrize("name", BAD)
def test_a_saga_that_breaks_a_rule_is_reported_with_that_rule(name: str) -> None:
    rules, (history, ledger, given, terms) = BAD[name]
    found = violations_of(observed(history, ledger, **given), **terms)
    assert sorted({violation.rule for violation in found}) == rules.split(), found


def test_every_rule_about_one_saga_has_a_case_that_breaks_it() -> None:
    broken = {rule for rules, _ in BAD.values() for rule in rules.split()}
    assert broken == {*(f"S{number}" for number in (2, 3, *range(4, 13), 14)), "L1"}


def test_a_violation_is_one_line_that_names_the_rule_and_the_saga() -> None:
    (violation,) = violations_of(observed(DONE, "a+ a+ b+"))
    assert str(violation) == (
        "S4 trip T-1 (00000000-0000-0000-0000-000000000007): the action of a was applied 2 times"
    )
