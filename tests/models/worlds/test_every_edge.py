"""Every state that a short saga can reach by any request: no edge is missing.

Times are reduced to "past" and "future", so the states are few enough to visit all of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any

import pytest

from sagas.decision import (
    Decision,
    Errored,
    Postponed,
    Probed,
    Refused,
    Result,
    SagaFailure,
    SagaState,
    StepState,
    Succeeded,
    advance,
    cancel,
    claim,
    conclude,
    resolve,
    retry,
    skip,
)
from sagas.definition.saga import _check_way_back
from sagas.errors import DefinitionError
from sagas.plan import Plan, PlannedStep
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.states import (
    EPOCH,
    ERROR,
    NOW,
    RESOLVED,
    TIMING,
    TOKEN,
    after,
    planned,
    saga_at,
    seconds,
)

PAST, TO_COME = seconds(-1), seconds(1)
OTHER = "another execution"
FAILURE: SagaFailure = {"step": None, "type": "E", "message": "…"}
KINDS = ("undo", "read_only", "best_effort", "best_effort undo", "pivot", "pivot undo", "plain")
HELD_BY_OTHER = {
    Operation.ACTION: {StepStatus.COMPENSATING},
    Operation.COMPENSATION: {StepStatus.RUNNING},
}
RESULTS: tuple[Result, ...] = (
    Succeeded(),
    Refused(ERROR),
    Errored(ERROR),
    Postponed(ERROR, 1.0),
    Succeeded(probed=Probed(happened=True)),
    Succeeded(probed=Probed(happened=False)),
    Refused(ERROR, Probed(happened=False)),
)


def step_of(name: str, kind: str, *, attempts: int, probe: bool) -> PlannedStep:
    kinds = {word: True for word in kind.split() if word not in ("undo", "plain")}
    return planned(
        name,
        undo="undo" in kind.split(),
        timeout=5.0,
        probe=probe,
        attempts=attempts,
        undo_attempts=1,
        losses=1,
        postponed=1.0,
        **kinds,
    )


def plans() -> Iterator[tuple[PlannedStep, ...]]:
    for kinds, probe in product(product(KINDS, repeat=2), (False, True)):
        attempts = (
            1 if probe else 2
        )  # the probe is asked after the last attempt, even if that is the first
        steps = tuple(
            step_of(name, kind, attempts=attempts, probe=probe)
            for name, kind in zip("ab", kinds, strict=True)
        )
        try:
            _check_way_back(Plan("short", steps))  # a last step without a way back is accepted too
        except DefinitionError:
            continue
        yield steps


def asked(saga: SagaState) -> Iterator[Decision]:
    """Make every request that a saga can receive."""
    for name, operation in product("ab", Operation):
        yield claim(saga, name, operation, epoch=EPOCH, token=OTHER, holder={}, timing=TIMING)
        if saga.step(name).status not in HELD_BY_OTHER[operation]:  # a claim is for one operation
            yield from (concluded(saga, name, operation, result) for result in RESULTS)
    for alive, lost in product((lambda _: True, lambda _: False), (False, True)):
        yield advance(saga, alive=alive, lost=lost, timing=TIMING, chance=0)
    yield cancel(saga, reason="…", timing=TIMING)
    yield retry(saga, timing=TIMING)
    yield from (skip(saga, name, timing=TIMING) for name in "ab")
    yield from (resolve(saga, completed=how, resolved=RESOLVED) for how in (None, True, False))


def concluded(saga: SagaState, name: str, operation: Operation, result: Result) -> Decision:
    return conclude(
        saga, name, operation, result, epoch=EPOCH, token=TOKEN, timing=TIMING, chance=0
    )


def later(saga: SagaState) -> Iterator[SagaState]:
    """Let each future time pass in turn."""
    if saga.deadline_at == TO_COME:
        yield replace(saga, deadline_at=PAST)
    for name, step in saga.steps.items():
        passed = [replace(step, retry_at=PAST)] * (step.retry_at == TO_COME)
        passed += [replace(step, expires_at=PAST)] * (step.expires_at == TO_COME)
        yield from (replace(saga, steps={**saga.steps, name: step}) for step in passed)


def reduced(saga: SagaState) -> SagaState:
    """Drop what makes no difference to the decisions."""
    return replace(
        saga,
        epoch=EPOCH,
        checks=0,
        sent_at=saga.sent_at and PAST,
        failure=saga.failure and FAILURE,
        deadline_at=_reduced(saga.deadline_at),
        steps={name: _reduced_step(step) for name, step in sorted(saga.steps.items())},
    )


def _reduced_step(step: StepState) -> StepState:
    return replace(
        step,
        # What was postponed counts as no attempt, however often it happens.
        attempt=step.attempt - step.postponements,
        compensation_attempt=step.compensation_attempt - step.compensation_postponements,
        postponements=0,
        compensation_postponements=0,
        postponed_s=0,
        compensation_postponed_s=0,
        claim=step.claim and TOKEN,
        retry_at=_reduced(step.retry_at),
        expires_at=_reduced(step.expires_at) if step.held else None,
    )


def _reduced(moment: datetime | None) -> datetime | None:
    return moment and (PAST if moment <= NOW else TO_COME)


def key_of(saga: SagaState) -> Any:
    parked = saga.parked and (saga.parked["operation"], tuple(saga.parked["steps"]))
    seen = (saga.status, saga.sent_at, bool(saga.failure), saga.deadline_at, parked)
    return seen, tuple(saga.steps.values())


def visit(begin: list[SagaState]) -> dict[Any, SagaState]:
    """Visit every state; an undeclared edge raises."""
    seen: dict[Any, SagaState] = {}
    waiting = [reduced(saga) for saga in begin]
    while waiting:
        saga = waiting.pop()
        key = key_of(saga)
        if key not in seen:
            seen[key] = saga
            following = (after(saga, decision) for decision in asked(saga))
            waiting += [reduced(later) for later in following if later is not saga]
            waiting += later(saga)
    return seen


def named(steps: tuple[PlannedStep, ...]) -> str:
    return " ".join(
        f"{step.name}:{step.action.retry.max_attempts}"
        f"{'u' * bool(step.compensation)}{'p' * step.pivot}{'b' * step.best_effort}"
        f"{'r' * step.read_only}{'?' * step.probe}"
        for step in steps
    )


@pytest.mark.parametrize("steps", tuple(plans()), ids=named)
def test_no_edge_is_missing_for_any_request_in_any_state(
    steps: tuple[PlannedStep, ...],
) -> None:
    skips: list[dict[str, Any]] = [{}, {"b": {"status": "SKIPPED"}}]
    begin = [
        saga_at("STARTED", steps, skipped, deadline_at=TO_COME, sent_at=PAST) for skipped in skips
    ]
    seen = visit(begin)
    assert {saga.status for saga in seen.values()} > {SagaStatus.COMPLETED, SagaStatus.IN_PROGRESS}
