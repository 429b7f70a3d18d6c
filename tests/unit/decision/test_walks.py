"""Whatever comes twice, late, reordered or never: a saga takes legal steps only, and ends right.

The machine keeps every message that was ever sent and every execution that was ever granted, so an
old one may come back at any time. The effects are those of participants with a barrier.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sagas.decision import (
    Broke,
    Decision,
    Granted,
    Recorded,
    Refused,
    Result,
    SagaState,
    StepState,
    Succeeded,
    claim,
    conclude,
    move_on,
    remaining,
)
from sagas.plan import PlannedStep
from sagas.states import ENDED, FORWARD, SAGA_EDGES, STEP_EDGES, Operation, SagaStatus, StepStatus
from tests.unit.decision.states import ACTION, COMPENSATION, TIMING, after, made, planned, saga_at


@dataclass(frozen=True)
class Message:
    operation: Operation
    step: str
    epoch: int


@dataclass(frozen=True)
class Execution:
    message: Message
    token: str


RESULTS: list[Result] = [Succeeded("1"), Refused({"type": "No"}), Broke({"type": "Oops"})]

plans = st.lists(
    st.builds(
        planned,
        st.just("?"),
        undo=st.booleans(),
        best_effort=st.booleans(),
        attempts=st.integers(1, 3),
        undo_attempts=st.integers(1, 3),
        wait=st.sampled_from([0.0, 1.0, 90.0]),
        timeout=st.sampled_from([None, 5.0]),
    ),
    min_size=1,
    max_size=4,
).map(lambda steps: [replace(step, name=name) for step, name in zip(steps, "abcd", strict=False)])


class Walk(RuleBasedStateMachine):
    """One saga, and everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.executions: list[Execution] = []
        self.dead: set[str] = set()
        self.effects: set[str] = set()
        self.tombstones: set[str] = set()

    @initialize(plan=plans, data=st.data())
    def start(self, plan: list[PlannedStep], data: st.DataObject) -> None:
        skipped = data.draw(st.sets(st.sampled_from([step.name for step in plan])))
        self.saga = saga_at("STARTED", plan, {name: made("SKIPPED") for name in skipped}, epoch=1)
        self.send()

    def send(self) -> None:
        """Send the rest of the saga, each step as a message of its own."""
        operation = ACTION if self.saga.status in FORWARD else COMPENSATION
        dispatch = remaining(self.saga, operation)
        for step in dispatch.steps if dispatch else ():
            self.messages.append(Message(operation, step, self.saga.epoch))

    def write(self, decide: Callable[[SagaState], Decision]) -> Decision:
        """Write a decision as the store does, and publish what it says."""
        decision = decide(self.saga)
        status = self.saga.status
        for following in decision.path:
            assert following in SAGA_EDGES[status], f"{status} -> {following}"
            status = following
        for change in decision.steps:
            before = self.saga.step(change.name).status
            assert change.status in STEP_EDGES[before], f"{change.name} {before} -> {change.status}"
        self.saga = after(self.saga, decision)
        if decision.dispatch:
            for step in decision.dispatch.steps:
                self.messages.append(Message(decision.dispatch.operation, step, self.saga.epoch))
        return decision

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self.run_message(data.draw(st.sampled_from(self.messages)))

    def run_message(self, message: Message) -> Execution | None:
        token = f"execution {len(self.executions)}"
        decision = self.write(
            lambda saga: claim(
                saga,
                message.step,
                message.operation,
                epoch=message.epoch,
                token=token,
                holder={},
                timing=TIMING,
            )
        )
        if not isinstance(decision.answer, Granted):
            return None
        call = self.saga.plan[message.step]
        limit = call.action if message.operation is ACTION else call.compensation
        assert limit is not None
        assert decision.answer.attempt <= limit.retry.max_attempts
        self.executions.append(Execution(message, token))
        return self.executions[-1]

    @precondition(lambda self: self.executions)
    @rule(data=st.data(), result=st.sampled_from(RESULTS), happened=st.booleans())
    def end_execution(self, data: st.DataObject, result: Result, happened: bool) -> None:  # noqa: FBT001
        execution = data.draw(st.sampled_from(self.executions))
        if isinstance(result, Succeeded) or (isinstance(result, Broke) and happened):
            self.have_effect(execution.message)
        self.conclude(execution, result)

    def conclude(self, execution: Execution, result: Result) -> None:
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

    def have_effect(self, message: Message) -> None:
        if message.operation is COMPENSATION:
            self.tombstones.add(message.step)
            self.effects.discard(message.step)
        elif message.step not in self.tombstones:
            self.effects.add(message.step)

    @precondition(lambda self: self.executions)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.dead.add(data.draw(st.sampled_from(self.executions)).token)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.saga = replace(self.saga, now=self.saga.now + timedelta(seconds=seconds))

    @rule(lost=st.booleans())
    def sweep(self, lost: bool) -> None:  # noqa: FBT001
        self.move_on(alive=lambda step: step.claim not in self.dead, lost=lost)

    def move_on(self, *, alive: Callable[[StepState], bool], lost: bool) -> None:
        epoch = self.saga.epoch
        self.write(lambda s: move_on(s, alive=alive, lost=lost, timing=TIMING, chance=0.5))
        assert self.saga.epoch in (epoch, epoch + 1)

    def teardown(self) -> None:
        """Let every worker die and every message be lost, then let only one good worker live."""
        if not hasattr(self, "saga"):
            return
        for _ in range(60):
            if self.saga.status in ENDED:
                break
            self.let_time_pass(100)
            self.messages.clear()
            self.move_on(alive=lambda _: False, lost=True)
            for message in self.messages[:1]:
                if execution := self.run_message(message):
                    self.have_effect(message)
                    self.conclude(execution, Succeeded("1"))
        self.check_end()

    def check_end(self) -> None:
        assert self.saga.status in ENDED, self.saga
        for planned_step in self.saga.plan:
            step = self.saga.step(planned_step.name)
            assert not step.held
            if self.saga.status is SagaStatus.COMPLETED:
                settled = (StepStatus.SUCCESS, StepStatus.SKIPPED)
                assert planned_step.best_effort or step.status in settled
            if self.saga.status is SagaStatus.COMPENSATED and planned_step.compensation:
                assert step.name not in self.effects
            if self.saga.status is SagaStatus.COMPENSATED and not planned_step.best_effort:
                assert step.status is not StepStatus.UNKNOWN


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    phases=[Phase.generate, Phase.shrink],  # to explain a failure takes longer than to find it
    deadline=None,
    derandomize=True,
    database=None,
)
