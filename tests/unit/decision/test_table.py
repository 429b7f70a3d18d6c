"""Every event in every state does what the tables say, and the tables leave nothing out."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, get_args

import pytest

from sagas import decision as decisions
from sagas.decision import (
    Answer,
    Decision,
    Declined,
    Dispatch,
    Dropped,
    Errored,
    Postponed,
    Refused,
    Result,
    SagaState,
    Succeeded,
    advance,
    cancel,
    claim,
    conclude,
    resolve,
    retry,
    skip,
)
from sagas.states import ENDED, Operation, SagaStatus, StepStatus
from tests.support.states import (
    ACTION,
    COMPENSATION,
    EPOCH,
    ERROR,
    RESOLVED,
    TIMING,
    TOKEN,
    held,
    made,
    planned,
    saga_at,
)
from tests.unit.decision.cells import MEANS, Cell
from tests.unit.decision.tables import PARKED, STEPS, TABLES

PLAN = (planned("a"), planned("b"), planned("c"))
ERRORED, REFUSED, POSTPONED = Errored(ERROR), Refused(ERROR), Postponed(ERROR, 1.0)


def saga_of(status: str, step: str, **more: Any) -> SagaState:
    steps = {"a": made(StepStatus.SUCCESS), "b": STEPS[step]}
    if status == SagaStatus.FAILED and step in PARKED:
        operation, stuck, others = PARKED[step]
        more["parked"] = {"reason": "…", "operation": operation, "steps": [stuck]}
        steps |= others
    return saga_at(status, PLAN, steps, **more)


def seen(decision: Decision) -> Cell:
    answer = decision.answer
    # The reasons are for people; the other tests read them.
    said: Answer | None = type(answer)("…") if isinstance(answer, Dropped | Declined) else answer
    sent = decision.dispatch
    return Cell(
        said,
        tuple(decision.path),
        decision.raise_epoch,
        (sent.operation, "".join(sent.steps)) if sent else None,
        " ".join(f"{change.name} {change.status}" for change in decision.steps) or None,
        decision.note,
        bool(decision.values or decision.steps),
    )


def claimed(saga: SagaState, operation: Operation, *, epoch: int = EPOCH) -> Decision:
    return claim(saga, "b", operation, epoch=epoch, token="new", holder={}, timing=TIMING)  # noqa: S106


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


def ended(saga: SagaState, result: Result) -> Decision:
    """Report a result as the step's last holder; a claim is for one operation."""
    undone = saga.step("b").compensation_attempt > 0
    return concluded(saga, result, COMPENSATION if undone else ACTION)


def advanced(saga: SagaState, *, well: bool) -> Decision:
    return advance(saga, alive=lambda _: well, lost=not well, timing=TIMING, chance=0.5)


EVENTS: dict[str, Callable[[SagaState], Decision]] = {
    "claim an action": lambda saga: claimed(saga, ACTION),
    "claim a compensation": lambda saga: claimed(saga, COMPENSATION),
    "conclude: succeeded": lambda saga: ended(saga, Succeeded("1")),
    "conclude: refused": lambda saga: ended(saga, REFUSED),
    "conclude: errored": lambda saga: ended(saga, ERRORED),
    "conclude: postponed": lambda saga: ended(saga, POSTPONED),
    "advance: everything is lost": partial(advanced, well=False),
    "advance: everything is well": partial(advanced, well=True),
    "cancel": lambda saga: cancel(saga, reason="…", timing=TIMING),
    "retry": lambda saga: retry(saga, timing=TIMING),
    "skip": lambda saga: skip(saga, "b", timing=TIMING),
    "resolve": lambda saga: resolve(saga, completed=None, resolved=RESOLVED),
    "resolve as completed": lambda saga: resolve(saga, completed=True, resolved=RESOLVED),
    "resolve as compensated": lambda saga: resolve(saga, completed=False, resolved=RESOLVED),
}


def words(event: str) -> Iterator[tuple[str, str, str]]:
    lines = TABLES[event].strip("\n").splitlines()
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    for step, *columns in rows:
        for status, word in zip(head[1:], columns, strict=True):
            yield status, step, word


def cells() -> Iterator[Any]:
    for event in TABLES:
        for status, step, word in words(event):
            if word != "·":
                name = f"{event}-{status}-{step}-{word}"
                yield pytest.param(event, status, step, MEANS[word], id=name)


@pytest.mark.parametrize(("event", "status", "step", "expected"), tuple(cells()))
def test_every_event_in_every_state_does_what_its_table_says(
    event: str, status: str, step: str, expected: Cell
) -> None:
    assert seen(EVENTS[event](saga_of(status, step))) == expected


# The tables leave nothing out.


@pytest.mark.parametrize("event", EVENTS)
def test_every_table_covers_every_status_and_the_same_states(event: str) -> None:
    assert {(status, step) for status, step, _ in words(event)} == set(product(SagaStatus, STEPS))
    assert states_of(event) == states_of("cancel")


def states_of(event: str) -> set[tuple[str, str]]:
    return {(status, step) for status, step, word in words(event) if word != "·"}


def test_the_rows_cover_every_status_of_a_step() -> None:
    assert {values["status"] for values in STEPS.values()} == set(StepStatus)


def test_every_parked_state_says_where_it_is_stuck() -> None:
    assert {step for status, step in states_of("cancel") if status == "FAILED"} == set(PARKED)


def test_every_function_that_decides_has_a_table() -> None:
    public = {name: getattr(decisions, name) for name in decisions.__all__}
    deciding = {
        name for name, member in public.items() if inspect.isfunction(member) and _asks(member)
    }
    assert {event.split()[0].strip(":") for event in TABLES} == deciding
    assert list(TABLES) == list(EVENTS)


def _asks(function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    takes = [parameter.annotation for parameter in signature.parameters.values()]
    return signature.return_annotation is Decision and Decision not in takes


def test_every_result_and_operation_has_a_table() -> None:
    results = {result.__name__.lower() for result in get_args(Result)}
    assert {event.split()[1] for event in TABLES if event.startswith("conclude")} == results
    claims = {event.split()[-1] for event in TABLES if event.startswith("claim")}
    assert claims == {operation.value for operation in Operation}


# What holds in every state.


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("status", SagaStatus)
def test_a_message_of_another_epoch_is_void_in_every_state(
    status: SagaStatus, operation: Operation, epoch: int
) -> None:
    for step in STEPS:
        assert seen(claimed(saga_of(status, step), operation, epoch=epoch)) == MEANS["void"], step


@pytest.mark.parametrize("other", [{"epoch": EPOCH - 1}, {"token": "another"}])
@pytest.mark.parametrize("result", [Succeeded(), REFUSED, ERRORED, POSTPONED])
@pytest.mark.parametrize("status", SagaStatus)
def test_an_execution_that_does_not_hold_the_step_at_this_epoch_is_fenced_in_every_state(
    status: SagaStatus, result: Result, other: dict[str, Any]
) -> None:
    for step in STEPS:
        assert seen(concluded(saga_of(status, step), result, **other)) == MEANS["fenced"], step


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", sorted(ENDED))
def test_a_saga_that_has_ended_is_never_checked_again(status: SagaStatus, step: str) -> None:
    assert advanced(saga_of(status, step), well=False) == Decision(values={"due_at": None})


# What depends on more than the table's state.


@pytest.mark.parametrize(
    ("operation", "result", "expected"),
    [
        (ACTION, Succeeded("1"), "goes on"),
        (ACTION, REFUSED, "refused"),
        (ACTION, ERRORED, "in doubt"),
        (ACTION, Postponed(ERROR, 61.0), "refused"),
        (COMPENSATION, Succeeded(), "undone"),
        (COMPENSATION, REFUSED, "left"),
        (COMPENSATION, ERRORED, "left"),
        (COMPENSATION, Postponed(ERROR, 61.0), "left"),
    ],
)
def test_the_end_of_the_last_attempt_is_final_and_so_is_too_long_a_wait(
    operation: Operation, result: Result, expected: str
) -> None:
    status = SagaStatus.IN_PROGRESS if operation is ACTION else SagaStatus.COMPENSATING
    steps = {"a": made(StepStatus.SUCCESS), "b": held(operation, attempts=2)}
    decision = concluded(saga_at(status, PLAN, steps), result, operation)
    assert seen(decision) == MEANS[expected]


@pytest.mark.parametrize("status", [SagaStatus.STARTED, SagaStatus.IN_PROGRESS])
def test_a_message_that_was_never_sent_is_sent_without_evidence_of_a_loss(
    status: SagaStatus,
) -> None:
    saga = saga_of(status, "pending", sent_at=None)
    assert seen(advanced(saga, well=True)) == MEANS["sent"]


def test_a_dispatch_without_a_countdown_is_sent_at_once() -> None:
    assert Dispatch(ACTION, ("b",)).countdown_s == 0
