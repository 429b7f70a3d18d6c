"""What surrounds a saga: its record, every message ever sent, executions, and participants.

The participants have a barrier: a step that is undone never happens again. The plans are arbitrary,
including ones that a definition would refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

from sagas.decision import (
    Answer,
    Decision,
    Errored,
    Granted,
    Probed,
    Recorded,
    Refused,
    Result,
    SagaState,
    Succeeded,
    claim,
    conclude,
    remaining,
    transition,
)
from sagas.decision.progress import call_of
from sagas.plan import PlannedStep
from sagas.retry import to_seconds
from sagas.states import FORWARD, Operation
from tests.support.states import ACTION, COMPENSATION, TIMING, made, planned, saga_at

__all__ = ["KINDS", "Execution", "Message", "World", "plan_of"]

#: Every kind of step; one draw chooses among them.
KINDS = [
    planned(
        "?",
        undo=undo,
        best_effort=minor == "best_effort",
        read_only=minor == "read_only",
        probe=probe,
        attempts=attempts,
        undo_attempts=undo_attempts,
        postponed=7.0,
        wait=wait,
        timeout=timeout,
    )
    for undo, minor, probe, attempts, undo_attempts, wait, timeout in product(
        (True, False),
        ("", "best_effort", "read_only"),
        (False, True),
        (1, 2, 3),
        (1, 2),
        (0.0, 0.0, 90.0),
        (None, 5.0),
    )
]


def plan_of(kinds: list[PlannedStep], pivot: int | None) -> list[PlannedStep]:
    """Name the steps, and make one of them the pivot."""
    named = [replace(kind, name=name) for kind, name in zip(kinds, "abcd", strict=False)]
    if pivot is not None and pivot < len(named):
        named[pivot] = replace(named[pivot], pivot=True, best_effort=False, read_only=False)
    return named


@dataclass(frozen=True)
class Message:
    operation: Operation
    step: str
    epoch: int


@dataclass(frozen=True)
class Execution:
    message: Message
    token: str
    granted: Granted


class World:
    """One saga, and everything that may happen to it."""

    def __init__(
        self, plan: list[PlannedStep], skipped: set[str], deadline_s: float | None
    ) -> None:
        saga = saga_at("STARTED", plan, {name: made("SKIPPED") for name in skipped}, epoch=1)
        deadline = None if deadline_s is None else saga.now + timedelta(seconds=deadline_s)
        self.saga = replace(saga, deadline_at=deadline)
        self.messages: dict[Message, None] = {}  # each once, in the order of sending
        self.executions: list[Execution] = []
        self.dead: set[str] = set()
        self.results: dict[str, Result] = {}
        self.effects: set[str] = set()
        self.tombstones: set[str] = set()
        self.send()

    def send(self) -> None:
        """Send the rest of the saga, each step as a message of its own."""
        operation = ACTION if self.saga.status in FORWARD else COMPENSATION
        if dispatch := remaining(self.saga, operation):
            self._publish(dispatch.operation, dispatch.steps)

    def _publish(self, operation: Operation, steps: tuple[str, ...]) -> None:
        for step in steps:
            self.messages[Message(operation, step, self.saga.epoch)] = None

    def write(self, decide: Callable[[SagaState], Decision]) -> Decision:
        """Write a decision as the store does, and publish what it says."""
        decision = decide(self.saga)
        self.saga = transition(self.saga, lambda _: decision).after
        if decision.dispatch:
            self._publish(decision.dispatch.operation, decision.dispatch.steps)
        return decision

    def claim(self, message: Message, token: str) -> Decision:
        name, operation = message.step, message.operation
        return self.write(
            lambda saga: claim(
                saga,
                name,
                operation,
                epoch=message.epoch,
                token=token,
                holder={},
                timing=TIMING,
            )
        )

    def run(self, message: Message) -> Execution | None:
        """Let a worker take a message; return its execution if it was granted."""
        token = f"execution {len(self.executions)}"
        granted = self.claim(message, token).answer
        if not isinstance(granted, Granted):
            return None
        retry = call_of(self.saga, message.step, message.operation).retry
        step = self.saga.step(message.step)
        lost = step.lost(message.operation)
        postponed, waited_s = step.postponed(message.operation)
        assert lost <= retry.max_losses
        assert waited_s <= to_seconds(retry.max_postponed)
        assert granted.attempt - lost - postponed <= retry.max_attempts
        execution = Execution(message, token, granted)
        self.executions.append(execution)
        return execution

    def end(self, execution: Execution, result: Result, *, happened: bool) -> tuple[Result, Answer]:
        """End an execution; *happened*: it had its effect, even if it errored."""
        if execution.token not in self.results:  # an execution that comes back repeats its result
            if execution.granted.ask and (happened or not isinstance(result, Errored)):
                result = self._asked(execution, result)
            self.results[execution.token] = result
        result = self.results[execution.token]
        runs = result.probed is None and not execution.granted.ask
        if runs and (isinstance(result, Succeeded) or (isinstance(result, Errored) and happened)):
            self._take_effect(execution.message)
        return result, self._conclude(execution, result)

    def _asked(self, execution: Execution, result: Result) -> Result:
        """Ask the participant whether the action happened; its no is final."""
        message, action = execution.message, execution.message.operation is ACTION
        probed = Probed(happened=message.step in self.effects)
        if action and probed.happened:
            result = Succeeded("1")
        elif (action and not execution.granted.run) or not (action or probed.happened):
            self.tombstones.add(message.step)
            result = (
                Refused({"type": "AttemptsExhausted", "message": "…"}) if action else Succeeded()
            )
        elif not isinstance(result, Refused):
            self._take_effect(message)
        return replace(result, probed=probed)

    def _take_effect(self, message: Message) -> None:
        if message.operation is COMPENSATION:
            self.tombstones.add(message.step)
            self.effects.discard(message.step)
        elif message.step not in self.tombstones:
            self.effects.add(message.step)

    def _conclude(self, execution: Execution, result: Result) -> Answer:
        message = execution.message
        decision = self.write(
            lambda saga: conclude(
                saga,
                message.step,
                message.operation,
                result,
                epoch=message.epoch,
                token=execution.token,
                timing=TIMING,
                chance=0.5,
            )
        )
        if isinstance(result, Succeeded) and decision.answer == Recorded():
            self.send()
        assert decision.answer is not None
        return decision.answer

    def let_time_pass(self, seconds: float) -> None:
        self.saga = replace(self.saga, now=self.saga.now + timedelta(seconds=seconds))
