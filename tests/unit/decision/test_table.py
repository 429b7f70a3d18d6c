"""The whole decision as tables: how a saga stands, how its step stands, and what happens.

The saga has the steps a, b and c, each with a compensation. Step a has succeeded, step b is as the
row says, step c was never claimed. A cell's word is explained in the table's legend; a dot is a
state that cannot be.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import pytest

from sagas.decision import (
    Answer,
    Broke,
    Decision,
    Dispatch,
    Done,
    Dropped,
    Fenced,
    Granted,
    Recorded,
    Refused,
    Result,
    RetryLater,
    SagaState,
    Succeeded,
    claim,
    conclude,
    move_on,
)
from sagas.states import ENDED, Operation, SagaStatus, StepStatus
from tests.unit.decision.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    TIMING,
    TOKEN,
    held,
    made,
    planned,
    saga_at,
)

PLAN = (planned("a"), planned("b"), planned("c"))

STEPS: dict[str, dict[str, Any]] = {
    "pending": made(StepStatus.PENDING),
    "running": held(ACTION),
    "success": made(StepStatus.SUCCESS),
    "failed": made(StepStatus.FAILED),
    "unknown": made(StepStatus.UNKNOWN, attempts=2, doubtful=True),
    "unknown, retried": made(StepStatus.UNKNOWN, waits=True, doubtful=True),
    "skipped": made(StepStatus.SKIPPED),
    "undoing": held(COMPENSATION),
    "undoing, retried": made(StepStatus.COMPENSATING, waits=True),
    "undone": made(StepStatus.COMPENSATED),
    "undo failed": made(StepStatus.COMPENSATION_FAILED, attempts=2),
}


def saga_of(status: str, step: str, **more: Any) -> SagaState:
    steps = {"a": made(StepStatus.SUCCESS), "b": STEPS[step]}
    return saga_at(status, PLAN, steps, **more)


@dataclass(frozen=True)
class Cell:
    """What is decided, apart from the columns that are written."""

    answer: Answer | None = None
    path: tuple[str, ...] = ()
    raise_epoch: bool = False
    dispatch: tuple[Operation, str] | None = None
    step: str | None = None
    note: str | None = None
    writes: bool = True


taken_over = partial(Cell, raise_epoch=True)


def seen(decision: Decision) -> Cell:
    answer = decision.answer
    # The reasons are for people; the other tests read them.
    named: Answer | None = Dropped("…") if isinstance(answer, Dropped) else answer
    sent = decision.dispatch
    return Cell(
        named,
        tuple(decision.path),
        decision.raise_epoch,
        (sent.operation, "".join(sent.steps)) if sent else None,
        " ".join(f"{change.name} {change.status}" for change in decision.steps) or None,
        decision.note,
        bool(decision.values or decision.steps),
    )


def cells(table: str, legend: dict[str, Cell]) -> list[Any]:
    return [
        pytest.param(status, step, legend[word], id=f"{status}-{step}-{word}")
        for status, step, word in words(table)
        if word != "·"
    ]


def words(table: str) -> Iterator[tuple[str, str, str]]:
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in table.splitlines()[1:])
    for step, *columns in rows:
        for status, word in zip(head[1:], columns, strict=True):
            yield status, step, word


NOTHING = Cell(writes=False)
CLAIMED = {
    "begins": Cell(Granted(1), path=(SagaStatus.IN_PROGRESS,), step="b RUNNING"),
    "runs": Cell(Granted(1), step="b RUNNING"),
    "repeats": Cell(Granted(2), step="b RUNNING"),
    "undoes": Cell(Granted(1), step="b COMPENSATING"),
    "undoes again": Cell(Granted(2), step="b COMPENSATING"),
    "done": Cell(Done(), writes=False),
    "void": Cell(Dropped("…"), writes=False),
}

# A step that has failed for good waits for the turn-back: a repeated message gives it no attempt.
CLAIM_ACTION = """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | begins  | runs        | void         | ·         | void        | void
running          | ·       | void        | ·            | ·         | ·           | ·
success          | ·       | done        | void         | void      | ·           | ·
failed           | ·       | void        | void         | ·         | void        | void
unknown          | ·       | void        | void         | ·         | ·           | void
unknown, retried | ·       | repeats     | ·            | ·         | ·           | ·
skipped          | done    | done        | void         | void      | void        | void
undoing          | ·       | ·           | void         | ·         | ·           | ·
undoing, retried | ·       | ·           | void         | ·         | ·           | ·
undone           | ·       | ·           | void         | ·         | void        | void
undo failed      | ·       | ·           | void         | ·         | ·           | void
"""

CLAIM_COMPENSATION = """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | void    | void        | void         | ·         | void        | void
running          | ·       | void        | ·            | ·         | ·           | ·
success          | ·       | void        | undoes       | void      | ·           | ·
failed           | ·       | void        | void         | ·         | void        | void
unknown          | ·       | void        | undoes       | ·         | ·           | void
unknown, retried | ·       | void        | ·            | ·         | ·           | ·
skipped          | void    | void        | void         | void      | void        | void
undoing          | ·       | ·           | void         | ·         | ·           | ·
undoing, retried | ·       | ·           | undoes again | ·         | ·           | ·
undone           | ·       | ·           | done         | ·         | void        | void
undo failed      | ·       | ·           | done         | ·         | ·           | void
"""


def claimed(saga: SagaState, operation: Operation, *, epoch: int = EPOCH) -> Decision:
    return claim(saga, "b", operation, epoch=epoch, token="new", holder={}, timing=TIMING)  # noqa: S106


@pytest.mark.parametrize(("status", "step", "expected"), cells(CLAIM_ACTION, CLAIMED))
def test_a_message_for_an_action_may_do(status: str, step: str, expected: Cell) -> None:
    assert seen(claimed(saga_of(status, step), ACTION)) == expected


@pytest.mark.parametrize(("status", "step", "expected"), cells(CLAIM_COMPENSATION, CLAIMED))
def test_a_message_for_a_compensation_may_do(status: str, step: str, expected: Cell) -> None:
    assert seen(claimed(saga_of(status, step), COMPENSATION)) == expected


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", SagaStatus)
@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_a_message_of_another_epoch_is_void_in_every_state(
    status: SagaStatus, step: str, operation: Operation, epoch: int
) -> None:
    assert seen(claimed(saga_of(status, step), operation, epoch=epoch)) == CLAIMED["void"]


BROKE, REFUSED = Broke({"type": "OSError"}), Refused({"type": "StepFailed"})

CONCLUDED = {
    # The next link is published by Celery, so none is dispatched.
    "goes on": Cell(Recorded(), step="b SUCCESS"),
    "refused": Cell(Recorded(), step="b FAILED"),
    "in doubt": Cell(Recorded(), step="b UNKNOWN"),
    "again": taken_over(RetryLater(1.0), dispatch=(ACTION, "bc"), step="b UNKNOWN"),
    "undone": Cell(Recorded(), step="b COMPENSATED"),
    "left": Cell(Recorded(), step="b COMPENSATION_FAILED"),
    "undo again": taken_over(RetryLater(1.0), dispatch=(COMPENSATION, "ba"), step="b COMPENSATING"),
}


@pytest.mark.parametrize(
    ("operation", "attempt", "result", "expected"),
    [
        (ACTION, 1, Succeeded("1"), "goes on"),
        (ACTION, 1, REFUSED, "refused"),
        (ACTION, 1, BROKE, "again"),
        (ACTION, 2, Succeeded("1"), "goes on"),
        (ACTION, 2, REFUSED, "refused"),
        (ACTION, 2, BROKE, "in doubt"),
        (COMPENSATION, 1, Succeeded(), "undone"),
        (COMPENSATION, 1, REFUSED, "left"),
        (COMPENSATION, 1, BROKE, "undo again"),
        (COMPENSATION, 2, Succeeded(), "undone"),
        (COMPENSATION, 2, REFUSED, "left"),
        (COMPENSATION, 2, BROKE, "left"),
    ],
)
def test_the_end_of_an_attempt_means(
    operation: Operation, attempt: int, result: Result, expected: str
) -> None:
    status = SagaStatus.IN_PROGRESS if operation is ACTION else SagaStatus.COMPENSATING
    steps = {"a": made(StepStatus.SUCCESS), "b": held(operation, attempts=attempt)}
    decision = concluded(saga_at(status, PLAN, steps), result, operation)
    assert seen(decision) == CONCLUDED[expected]


def concluded(
    saga: SagaState,
    result: Result,
    operation: Operation = ACTION,
    *,
    epoch: int = EPOCH,
    token: str = TOKEN,
) -> Decision:
    return conclude(
        saga, "b", operation, result, epoch=epoch, token=token, timing=TIMING, chance=0.5
    )


@pytest.mark.parametrize("result", [Succeeded(), REFUSED, BROKE])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", SagaStatus)
@pytest.mark.parametrize("other", [{"epoch": EPOCH - 1}, {"token": "another"}])
def test_whoever_does_not_hold_the_step_at_this_epoch_is_fenced_in_every_state(
    status: SagaStatus, step: str, result: Result, other: dict[str, Any]
) -> None:
    decision = concluded(saga_of(status, step), result, **other)
    assert seen(decision) == Cell(Fenced(), writes=False)


@pytest.mark.parametrize("result", [Succeeded(), REFUSED, BROKE])
@pytest.mark.parametrize("status", SagaStatus)
@pytest.mark.parametrize("step", ["success", "failed", "unknown", "undone", "undo failed"])
def test_the_end_of_an_attempt_is_written_once_in_every_state(
    status: SagaStatus, step: str, result: Result
) -> None:
    answer = Recorded(ended=status in ENDED)
    assert seen(concluded(saga_of(status, step), result)) == Cell(answer, writes=False)


MOVED = {
    "rest": NOTHING,
    "look later": Cell(),
    "sent": taken_over(dispatch=(ACTION, "bc"), note="sent"),
    "send bc": taken_over(dispatch=(ACTION, "bc"), note="sent again"),
    "send c": taken_over(dispatch=(ACTION, "c"), note="sent again"),
    "retry": replace(CONCLUDED["again"], note="taken over"),
    "undo ba": taken_over(dispatch=(COMPENSATION, "ba"), note="sent again"),
    "undo a": taken_over(dispatch=(COMPENSATION, "a"), note="sent again"),
    "retry undo": replace(CONCLUDED["undo again"], note="taken over"),
    "turn to a": taken_over(path=(SagaStatus.COMPENSATING,), dispatch=(COMPENSATION, "a")),
    "turn to ba": taken_over(path=(SagaStatus.COMPENSATING,), dispatch=(COMPENSATION, "ba")),
}

# Whoever holds the step is gone, and the message that is waited for is lost.
MOVE_ON_LOST = """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED  | COMPENSATED | FAILED
pending          | send bc | send bc     | undo a       | ·          | look later  | look later
running          | ·       | retry       | ·            | ·          | ·           | ·
success          | ·       | send c      | undo ba      | look later | ·           | ·
failed           | ·       | turn to a   | undo a       | ·          | look later  | look later
unknown          | ·       | turn to ba  | undo ba      | ·          | ·           | look later
unknown, retried | ·       | look later  | ·            | ·          | ·           | ·
skipped          | send c  | send c      | undo a       | look later | look later  | look later
undoing          | ·       | ·           | retry undo   | ·          | ·           | ·
undoing, retried | ·       | ·           | look later   | ·          | ·           | ·
undone           | ·       | ·           | undo a       | ·          | look later  | look later
undo failed      | ·       | ·           | undo a       | ·          | ·           | look later
"""

# Whoever holds the step lives, and the message may still come.
MOVE_ON_WELL = """
                 | STARTED    | IN_PROGRESS | COMPENSATING
pending          | look later | look later  | look later
running          | ·          | look later  | ·
success          | ·          | look later  | look later
failed           | ·          | turn to a   | look later
unknown          | ·          | turn to ba  | look later
unknown, retried | ·          | look later  | ·
skipped          | look later | look later  | look later
undoing          | ·          | ·           | look later
undoing, retried | ·          | ·           | look later
undone           | ·          | ·           | look later
undo failed      | ·          | ·           | look later
"""


def moved(saga: SagaState, *, well: bool) -> Decision:
    return move_on(saga, alive=lambda _: well, lost=not well, timing=TIMING, chance=0.5)


@pytest.mark.parametrize(("status", "step", "expected"), cells(MOVE_ON_LOST, MOVED))
def test_a_saga_that_was_left_alone_needs(status: str, step: str, expected: Cell) -> None:
    saga = saga_of(status, step, sent_at=saga_of(status, step).now)
    assert seen(moved(saga, well=False)) == expected


@pytest.mark.parametrize(("status", "step", "expected"), cells(MOVE_ON_WELL, MOVED))
def test_a_saga_that_is_only_slow_needs(status: str, step: str, expected: Cell) -> None:
    saga = saga_of(status, step, sent_at=saga_of(status, step).now)
    assert seen(moved(saga, well=True)) == expected


@pytest.mark.parametrize("status", [SagaStatus.STARTED, SagaStatus.IN_PROGRESS])
def test_a_message_that_was_never_sent_is_sent_without_any_evidence(status: SagaStatus) -> None:
    saga = saga_of(status, "pending", sent_at=None)
    assert seen(moved(saga, well=True)) == MOVED["sent"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", ENDED)
def test_a_saga_that_has_ended_is_never_looked_at_again(status: SagaStatus, step: str) -> None:
    assert moved(saga_of(status, step), well=False) == Decision(values={"due_at": None})


def test_the_table_speaks_of_every_status() -> None:
    assert {values["status"] for values in STEPS.values()} == set(StepStatus)
    for table in (CLAIM_ACTION, CLAIM_COMPENSATION, MOVE_ON_LOST):
        assert {(status, step) for status, step, _ in words(table)} == set(
            product(SagaStatus, STEPS)
        )


def test_a_dispatch_without_a_countdown_is_sent_at_once() -> None:
    assert Dispatch(ACTION, ("b",)).countdown_s == 0
