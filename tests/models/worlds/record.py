"""A saga's record without clock and names: two records with the same future are one.

Timers and leases can run out at any moment, so all that remains of a time is whether it is set. All
that remains of an epoch is whether a message or an execution belongs to the current one. The real
code makes every decision, once for each record and event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from sagas.decision import (
    Answer,
    Decision,
    Dispatch,
    Dropped,
    Errored,
    Fenced,
    Granted,
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
    transition,
    turn_of,
    waiting,
)
from sagas.decision.progress import current
from sagas.plan import PlannedStep
from sagas.states import ENDED, Operation, SagaStatus, StepStatus
from tests.support.prediction import check_prediction
from tests.support.states import ACTION, EPOCH, ERROR, NOW, TIMING, made, saga_at

__all__ = ["Outcome", "Records", "result_of"]

HOLDER = "the execution that holds the step"
FAILURE: SagaFailure = {"step": None, "type": "E", "message": "…"}
LATER = NOW + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision results in: the record after it, and what goes out into the world."""

    record: int
    answer: Answer | None
    dispatch: Dispatch | None
    raised: bool


def result_of(word: str, probed: str) -> Result:
    """Return the result of an attempt; *probed* is yes or no if the probe was asked."""
    said = {"yes": Probed(happened=True, output='"found"'), "no": Probed(happened=False)}.get(
        probed
    )
    match word:
        case "ok":
            return Succeeded('"done"', said)
        case "refused":
            return Refused(ERROR, said)
        case "busy":
            return Postponed(ERROR, 1.0, said)
        case _:
            return Errored(ERROR, probed=said)


class Records:
    """Every record that was met, by number, and every decision that was made."""

    def __init__(self, plan: Iterable[PlannedStep], *, deadline: bool, skipped: str) -> None:
        self._all: list[SagaState] = []
        self._numbers: dict[Any, int] = {}
        self._known: dict[Any, Outcome] = {}
        first = saga_at("STARTED", plan, {name: made("SKIPPED") for name in skipped})
        self.plan = first.plan
        self.first = self._number(
            replace(first, sent_at=NOW, deadline_at=LATER if deadline else None)
        )

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> SagaState:
        return self._all[number]

    def decide(self, number: int, event: tuple[Any, ...]) -> Outcome:
        """Return the outcome of an event; an undeclared edge raises."""
        if (known := self._known.get((number, event))) is None:
            made = transition(self._all[number], lambda saga: self._decision(saga, event))
            decision = made.decision
            known = Outcome(
                self._number(made.after), decision.answer, decision.dispatch, decision.raise_epoch
            )
            self._known[number, event] = known
        return known

    def overdue(self, number: int) -> int:
        """Return the record at the moment when its deadline has passed."""
        return self._number(replace(self._all[number], deadline_at=NOW))

    def _decision(self, saga: SagaState, event: tuple[Any, ...]) -> Decision:
        match event:
            case ("claim", operation, step):
                return _claimed(saga, operation, step)
            case ("conclude", operation, step, word, probed):
                return _concluded(saga, operation, step, result_of(word, probed))
            case ("sweep", lives, lost):
                return advance(saga, alive=lambda _: lives, lost=lost, timing=TIMING, chance=0)
            case _:
                return cancel(saga, reason="…", timing=TIMING)

    def _number(self, saga: SagaState) -> int:
        bare = _bare(saga)
        steps = tuple(bare.steps.values())
        stuck = bare.parked and (bare.parked["operation"], *bare.parked["steps"])
        moments = (bare.sent_at, bare.deadline_at)
        key = (bare.status, steps, bare.failure is None, stuck, moments)
        if key not in self._numbers:
            self._numbers[key] = len(self._all)
            self._all.append(bare)
            _check(bare)
        return self._numbers[key]


def _bare(saga: SagaState) -> SagaState:
    steps = {planned.name: _bare_step(saga.step(planned.name)) for planned in saga.plan}
    failure = saga.failure and FAILURE
    sent_at = None if saga.sent_at is None else NOW
    bare = replace(
        saga,
        epoch=EPOCH,
        steps=steps,
        failure=failure,
        sent_at=sent_at,
        checks=0,
        resends=0,
        blocked=None,
    )
    return replace(bare, turn=turn_of(bare))


def _bare_step(step: StepState) -> StepState:
    retry_at = None if step.retry_at is None else NOW
    claim_of = HOLDER if step.held else None
    return replace(step, claim=claim_of, retry_at=retry_at, expires_at=None)


def _claimed(
    saga: SagaState, operation: Operation, step: str, *, epoch: int = EPOCH, token: str = HOLDER
) -> Decision:
    # The holder's own token would count as a repeat of its claim. A new message has a new token.
    new = "another" if saga.step(step).held and token == HOLDER else token
    return claim(saga, step, operation, epoch=epoch, token=new, holder={}, timing=TIMING)


def _concluded(
    saga: SagaState,
    operation: Operation,
    step: str,
    result: Result,
    *,
    epoch: int = EPOCH,
    token: str = HOLDER,
) -> Decision:
    return conclude(
        saga, step, operation, result, epoch=epoch, token=token, timing=TIMING, chance=0
    )


def _check(saga: SagaState) -> None:
    """Check what must hold of every record by itself."""
    assert sum(step.held for step in saga.steps.values()) <= 1, f"two steps are held: {saga}"
    granted = 0
    for planned in saga.plan:
        for operation in Operation if planned.compensation else (ACTION,):
            _check_old(saga, operation, planned.name)
            answer = _claimed(saga, operation, planned.name).answer
            granted += isinstance(answer, Granted)
            assert saga.status not in ENDED or isinstance(answer, Dropped), f"S2: {saga}"
    held = any(step.held for step in saga.steps.values())
    assert granted <= (0 if held else 1), f"S8, S9: it is nobody else's turn: {saga}"
    if saga.status in ENDED:
        moved = advance(saga, alive=lambda _: False, lost=True, timing=TIMING, chance=0)
        assert moved == Decision(values={"due_at": None}), f"S2: moved after the end: {saga}"
        statuses = {step.status for step in saga.steps.values()}
        assert statuses.isdisjoint({StepStatus.RUNNING, StepStatus.COMPENSATING})
    if saga.status is SagaStatus.FAILED:
        assert saga.parked, saga
    if saga.turn is not None:
        _check_turn(saga)


def _check_turn(saga: SagaState) -> None:
    """What a worker decides without having read the saga is what it would decide about it."""
    name = current(saga, ACTION)
    assert name is not None
    predicted = waiting(saga.id, saga.plan, name, EPOCH)
    assert predicted is not None
    if not saga.step(name).held:
        assert check_prediction(predicted, saga, lambda s: _claimed(s, ACTION, name))
        return
    predicted = transition(predicted, lambda s: _claimed(s, ACTION, name)).after
    for word in ("ok", "refused", "error"):
        ended = partial(
            _concluded, operation=ACTION, step=name, result=result_of(word, "not asked")
        )
        assert check_prediction(predicted, saga, ended)


def _check_old(saga: SagaState, operation: Operation, step: str) -> None:
    """S10: messages and executions of an older epoch or without the claim change nothing."""
    message = _claimed(saga, operation, step, epoch=EPOCH - 1, token="another")  # noqa: S106
    assert isinstance(message.answer, Dropped)
    assert message == Decision(message.answer)
    for old in ({"epoch": EPOCH - 1}, {"token": "another"}):
        fenced = _concluded(saga, operation, step, Succeeded(), **old)
        assert fenced == Decision(Fenced())
    held = saga.step(step)
    action_held = held.status is StepStatus.RUNNING
    if held.held and action_held is (operation is ACTION):
        again = claim(saga, step, operation, epoch=EPOCH, token=HOLDER, holder={}, timing=TIMING)
        assert isinstance(again.answer, Granted)
        assert again == Decision(again.answer), "a claim whose reply was lost is written once"
