"""A world of one saga, in which everything may go wrong, all of it from one seed.

The decisions are the real ones. Round them, as plain data: messages that are lost, doubled and
reordered, executions that die at every boundary or wake up late, a participant with a barrier,
clocks, deadlines and people.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sagas.decision import (
    Broke,
    Decision,
    Dispatch,
    Fenced,
    Granted,
    Probed,
    Refused,
    Result,
    SagaState,
    StepState,
    Succeeded,
    Timing,
    before_deadline,
    cancel,
    claim,
    conclude,
    move_on,
    remaining,
    retry,
    skip,
    with_change,
)
from sagas.plan import Plan, PlannedStep
from sagas.states import ENDED, SAGA_EDGES, STEP_EDGES, Operation, SagaStatus
from tests.unit.decision.states import planned

__all__ = ["World", "random_plan"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION
TIMING = Timing(lease_s=3.0, timer_s=2.0, look_s=60.0)
START = datetime(2026, 3, 1, tzinfo=UTC)
ERROR = {"type": "E", "message": "…"}


def random_plan(random: Random) -> Plan:
    """Draw a plan that a definition would accept."""
    steps: list[PlannedStep] = []
    pivot_at = random.choice([None, 0, 1, 2, 3])
    for number, name in enumerate("abcd"[: random.randint(1, 4)]):
        beyond = pivot_at is not None and number >= pivot_at
        kind = random.choice(["undo", "undo", "read_only", "best_effort"])
        if number == pivot_at:
            kind = "pivot"
        elif beyond:
            kind = random.choice(["plain", "best_effort"])
        kinds = {kind: True} if kind in ("read_only", "best_effort", "pivot") else {}
        steps.append(
            planned(
                name,
                undo=kind == "undo" or (kind == "pivot" and random.random() < 0.3),
                attempts=random.randint(1, 3),
                undo_attempts=random.randint(1, 3),
                wait=random.choice([0.0, 1.0, 30.0]),
                probe=random.random() < 0.4,
                **kinds,
            )
        )
    return Plan("simulated", tuple(steps))


@dataclass
class Execution:
    """A process that holds a message, from its claim to its end."""

    token: str
    operation: Operation
    step: str
    epoch: int
    rest: tuple[str, ...]
    granted: Granted
    result: Result | None = None
    alive: bool = True


@dataclass
class World:
    """One saga, its messages, its executions, and the participant's ledger."""

    random: Random
    saga: SagaState
    due_at: datetime | None = None
    messages: list[tuple[Operation, tuple[str, ...], int]] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    applied: list[tuple[str, Operation]] = field(default_factory=list)
    barrier: set[tuple[str, Operation]] = field(default_factory=set)
    alerts: int = 0
    people: int = 0
    tokens: int = 0

    @classmethod
    def begin(cls, random: Random) -> "World":
        """Start a saga, whose first message may be lost like any other."""
        plan = random_plan(random)
        deadline = START + timedelta(seconds=40) if random.random() < 0.3 else None
        saga = SagaState(
            id=UUID(int=1),
            name=plan.name,
            key="S-1",
            status=SagaStatus.STARTED,
            epoch=1,
            plan=plan,
            steps={},
            now=START,
            sent_at=START,
            deadline_at=deadline,
        )
        world = cls(random, saga, START + timedelta(seconds=TIMING.lease_s))
        world._publish(Dispatch(ACTION, tuple(step.name for step in plan)), 1)
        return world

    def write(self, decision: Decision) -> Decision:
        """Do what the store does with a decision, and refuse what it would refuse."""
        decision = before_deadline(self.saga, decision)
        for change in decision.steps:
            assert change.status in STEP_EDGES[self.saga.step(change.name).status], change
            self.saga = with_change(self.saga, change)
        for status in decision.path:
            assert status in SAGA_EDGES[self.saga.status], (self.saga.status, status)
            self.saga = replace(self.saga, status=status)
            self.alerts += status is SagaStatus.FAILED
        known = ("looks", "sent_at", "failure", "parked", "deadline_at")
        values = {name: decision.values[name] for name in known if name in decision.values}
        epoch = self.saga.epoch + decision.raise_epoch
        self.saga = replace(self.saga, epoch=epoch, **values)
        self.due_at = decision.values.get("due_at", self.due_at)
        if decision.dispatch:
            self._publish(decision.dispatch, epoch)
        return decision

    def _publish(self, dispatch: Dispatch, epoch: int) -> None:
        self.messages.append((dispatch.operation, dispatch.steps, epoch))

    def deliver(self, index: int, *, keep: bool = False) -> None:
        """Let a worker take a message; *keep* doubles it."""
        operation, steps, epoch = self.messages[index] if keep else self.messages.pop(index)
        self.tokens += 1
        token, step = f"t{self.tokens}", steps[0]
        decision = self.write(
            claim(self.saga, step, operation, epoch=epoch, token=token, holder={}, timing=TIMING)
        )
        if isinstance(decision.answer, Granted):
            held = Execution(token, operation, step, epoch, steps[1:], decision.answer)
            self.executions.append(held)
        elif type(decision.answer).__name__ == "Done" and steps[1:]:
            self.messages.append((operation, steps[1:], epoch))

    def run(self, execution: Execution, mood: str) -> None:
        """Let an execution do its work at the participant, and learn its result."""
        key = (execution.step, execution.operation)
        if execution.granted.ask:
            happened = (execution.step, ACTION) in self.applied
            probed = Probed(happened, '"found"' if happened else None)
            if execution.operation is COMPENSATION and not happened:
                self._rule_out(execution.step)
                execution.result = Succeeded(probed=probed)
                return
            if execution.operation is ACTION and (happened or not execution.granted.run):
                if not happened:
                    self._rule_out(execution.step)
                execution.result = (
                    Succeeded(probed.output, probed) if happened else Refused(ERROR, probed)
                )
                return
        else:
            probed = None
        if mood == "refuse" and key not in self.barrier:
            execution.result = Refused(ERROR, probed)
        elif mood == "break before":
            execution.result = Broke(ERROR, probed=probed)
        else:
            refused = not self._apply(execution)
            broke = mood == "break after" or refused
            execution.result = Broke(ERROR, probed=probed) if broke else Succeeded('"done"', probed)

    def _rule_out(self, step: str) -> None:
        """A probe says no only where the participant makes sure that it stays so."""
        self.barrier.add((step, ACTION))

    def _apply(self, execution: Execution) -> bool:
        """Apply an effect once; False where an action comes after its own compensation."""
        key = (execution.step, execution.operation)
        if execution.operation is COMPENSATION:
            if key in self.barrier:
                return True
            self.barrier.add(key)
            if (execution.step, ACTION) not in self.barrier:  # null compensation: a tombstone
                self.barrier.add((execution.step, ACTION))
                return True
            if (execution.step, ACTION) not in self.applied:
                return True
        elif key in self.barrier:
            return key in self.applied
        self.barrier.add(key)
        self.applied.append(key)
        return True

    def end(self, execution: Execution, *, publish: bool = True) -> None:
        """Write the result of an execution; *publish* the next link, or die before it."""
        assert execution.result is not None
        self.executions.remove(execution)
        decision = self.write(
            conclude(
                self.saga,
                execution.step,
                execution.operation,
                execution.result,
                epoch=execution.epoch,
                token=execution.token,
                timing=TIMING,
                chance=0,
            )
        )
        ok = isinstance(execution.result, Succeeded)
        if publish and ok and not isinstance(decision.answer, Fenced) and not decision.dispatch:
            if execution.rest:
                self.messages.append((execution.operation, execution.rest, execution.epoch))
            elif self.saga.status not in ENDED and (
                more := remaining(self.saga, execution.operation)
            ):
                self._publish(more, self.saga.epoch)

    def sweep(self) -> None:
        """Look at the saga if it is due, as every worker does."""
        if self.due_at is None or self.due_at > self.saga.now:
            return
        lost = not any(epoch == self.saga.epoch for _, _, epoch in self.messages)
        holders = {execution.token for execution in self.executions if execution.alive}

        def alive(step: StepState) -> bool:
            return step.claim in holders

        self.write(move_on(self.saga, alive=alive, lost=lost, timing=TIMING, chance=0))

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on."""
        self.saga = replace(self.saga, now=self.saga.now + timedelta(seconds=seconds))

    def ask_people(self, what: str) -> None:
        """Let a person act; they know what they do."""
        self.people += 1
        if what == "cancel":
            self.write(cancel(self.saga, reason="…", timing=TIMING))
        elif what == "retry":
            self.write(retry(self.saga, timing=TIMING))
        elif self.saga.parked:
            self._by_hand(self.saga.parked)

    def _by_hand(self, parked: Any) -> None:
        """Do by hand what the parked step was to do, then say so."""
        step = parked["steps"][0]
        operation = Operation(parked["operation"])
        for key in ((step, ACTION), (step, COMPENSATION)):
            done = key in self.applied
            wanted = operation is COMPENSATION or key[1] is ACTION
            if wanted and not done and ((step, ACTION) in self.applied or operation is ACTION):
                self.applied.append(key)
        self.barrier |= {(step, ACTION), (step, COMPENSATION)}
        self.write(skip(self.saga, step, timing=TIMING))
