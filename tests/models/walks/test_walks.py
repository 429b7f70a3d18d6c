"""Duplicated, late, reordered and lost messages: a saga takes only legal steps and ends correctly.

The machine keeps every message that was ever sent and every execution that was ever granted, so an
old one can come back at any time.
"""

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sagas.decision import (
    Accepted,
    Decision,
    Errored,
    Fenced,
    Postponed,
    Refused,
    Result,
    StepState,
    Succeeded,
    advance,
    cancel,
    resolve,
    retry,
    skip,
)
from sagas.decision.progress import call_of
from sagas.plan import PlannedStep
from sagas.states import ENDED, FORWARD, SagaStatus
from tests.models.walks.compare import check, check_change
from tests.models.walks.model import Held, Model
from tests.models.walks.world import KINDS, Execution, Message, World, plan_of
from tests.support.states import RESOLVED, TIMING

LOST = Errored({"type": "WorkerLost", "message": "…"}, lost=True)
#: How an execution ends; one that errored may have had its effect.
ENDS: list[tuple[Result, bool]] = [
    (Succeeded("1"), True),
    (Refused({"type": "No", "message": "…"}), False),
    (Postponed({"type": "Busy", "message": "…"}, 5.0), False),
    (Errored({"type": "Oops", "message": "…"}), False),
    (Errored({"type": "Oops", "message": "…"}), True),
    (Errored({"type": "Oops", "message": "…"}, final=True), True),
]
STEPS = [(kind, skipped) for kind in KINDS for skipped in (False, False, False, True)]


def step_of(place: int) -> tuple[PlannedStep, bool]:
    """Return a step and whether it is skipped; Hypothesis would print a sampled list at length."""
    return STEPS[place]


#: A place counted from the newest: one draw, however many there are.
places = st.integers(0, 15)
#: A saga can be cancelled after this many executions. Most are never cancelled, and run longer.
NEVER = 99
Beginning = tuple[list[tuple[PlannedStep, bool]], int | None, float | None, int]
beginnings: st.SearchStrategy[Beginning] = st.tuples(
    st.lists(st.integers(0, len(STEPS) - 1).map(step_of), min_size=1, max_size=4),
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([None, None, None, None, 5.0, 100.0]),  # the deadline's seconds
    st.sampled_from([NEVER, NEVER, NEVER, 0, 2, 5]),
)
OVER = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)


class Walk(RuleBasedStateMachine):
    """One saga, and everything that may happen to it."""

    @initialize(beginning=beginnings)
    def start(self, beginning: Beginning) -> None:
        self.begin(*beginning)

    @precondition(lambda self: self.world.saga.status in OVER)
    @rule(beginning=beginnings)
    def start_another(self, beginning: Beginning) -> None:
        """Use the rest of the walk for another saga; leftovers of the first never arrive."""
        self.begin(*beginning)

    def begin(
        self,
        steps: list[tuple[PlannedStep, bool]],
        pivot: int | None,
        deadline_s: float | None,
        cancel_from: int,
    ) -> None:
        plan = plan_of([kind for kind, _ in steps], pivot)
        skipped = {step.name for step, (_, out) in zip(plan, steps, strict=True) if out}
        self.world = World(plan, skipped, deadline_s)
        self.model = Model(self.world.saga.plan, skipped, self.world.saga.deadline_at)
        self.before = self.world.saga
        self.person = False
        self.cancel_from = cancel_from

    @invariant()
    def keeps_its_promises(self) -> None:
        saga = self.world.saga
        self.model.parked = saga.status is SagaStatus.FAILED
        check_change(self.before, saga, self.model, person=self.person)
        check(self.world, self.model)
        self.before, self.person = saga, False

    # Workers.

    @rule(place=places)
    def deliver(self, place: int) -> None:
        if self.world.messages:
            messages = tuple(self.world.messages)
            self.run(messages[-1 - place % len(messages)])

    @rule(end=st.sampled_from(ENDS))
    def work(self, end: tuple[Result, bool]) -> None:
        """End the execution that holds a step, or else one that a message starts now."""
        holder = self.model.holder
        if holder is not None:
            self.end(next(e for e in self.world.executions if e.token == holder.token), *end)
            return
        for message in tuple(self.world.messages):
            if message.epoch == self.world.saga.epoch and (execution := self.run(message)):
                self.end(execution, *end)
                return

    @rule()
    def work_well(self) -> None:
        self.work((Succeeded("1"), True))

    def run(self, message: Message) -> Execution | None:
        execution = self.world.run(message)
        if execution is not None:
            saga = self.world.saga
            limit_s = call_of(saga, message.step, message.operation).timeout_s
            over_s = (limit_s or 0.0) + TIMING.grace_s + TIMING.lease_s
            until = saga.now + timedelta(seconds=over_s) if limit_s else None
            runs = execution.granted.run
            held = Held(execution.token, message.step, message.operation, until, runs)
            self.model.granted(held, saga.now)
        return execution

    @rule(place=places, end=st.sampled_from(ENDS))
    def end_any(self, place: int, end: tuple[Result, bool]) -> None:
        if self.world.executions:
            self.end(self.any_execution(place), *end)

    def any_execution(self, place: int) -> Execution:
        executions = self.world.executions
        return executions[-1 - place % len(executions)]

    def end(self, execution: Execution, result: Result, happened: bool) -> None:  # noqa: FBT001
        outcome, answer = self.world.end(execution, result, happened=happened)
        self.model.concluded(execution.token, outcome, None if answer == Fenced() else answer)
        self.follow()

    def follow(self) -> None:
        """Let the model turn back with the saga, if the saga must turn back."""
        if self.world.saga.status not in FORWARD and self.before.status in FORWARD:
            if self.world.saga.status is not SagaStatus.COMPLETED:
                assert self.model.turning, "turned back for no reason"
                self.model.back = not self.model.no_way_back()
            self.model.deadline = None

    @rule(place=places)
    def claim_again(self, place: int) -> None:
        """Repeat a claim whose reply was lost."""
        if not self.world.executions:
            return
        execution, holder = self.any_execution(place), self.model.holder
        decision = self.world.claim(execution.message, execution.token)
        if holder is not None and holder.token == execution.token:
            assert decision == Decision(execution.granted)
        else:
            assert not decision.steps

    @rule(place=places)
    def kill(self, place: int) -> None:
        if self.world.executions:
            self.world.dead.add(self.any_execution(place).token)

    # Time, and the sweep.

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.let_time_pass(seconds)

    @rule(lost=st.booleans())
    def sweep(self, lost: bool) -> None:  # noqa: FBT001
        world, model, holder = self.world, self.model, self.model.holder
        if model.deadline is not None and model.deadline <= world.saga.now:
            model.turning, model.deadline = True, None
        decision = world.write(
            lambda saga: advance(saga, alive=self.lives, lost=lost, timing=TIMING, chance=0.5)
        )
        gone = holder is not None and (
            holder.token in world.dead
            or (holder.until is not None and holder.until <= world.saga.now)
        )
        assert (decision.answer is not None) is gone, (
            "a take-over without need, or none although needed"
        )
        if decision.answer is not None:
            assert world.saga.epoch == self.before.epoch + 1, "taken over without a new epoch"
            model.end(LOST, decision.answer)
        self.follow()
        if decision.answer is None and world.saga.status in FORWARD and model.holder is None:
            assert not model.turning, "the saga should turn back"
            assert model.to_do() is not None, "the saga should end"

    @rule()
    def recover(self) -> None:
        """Sweep once everything that the sweep may have to wait for is over."""
        self.world.let_time_pass(100)
        self.sweep(lost=True)

    def lives(self, step: StepState) -> bool:
        return step.claim not in self.world.dead

    # People.

    @precondition(lambda self: len(self.world.executions) >= self.cancel_from)
    @rule()
    def cancel(self) -> None:
        over = self.world.saga.status in ENDED
        decision = self.world.write(lambda saga: cancel(saga, reason="…", timing=TIMING))
        if not self.model.resolved:
            self.model.cancelled(decision.answer, over=over)
        self.follow()

    @precondition(lambda self: self.model.parked)
    @rule()
    def retry(self) -> None:
        decision = self.world.write(lambda saga: retry(saga, timing=TIMING))
        self.model.retried(decision.answer)
        self.person = True

    @precondition(lambda self: self.model.parked)
    @rule(place=places)
    def skip(self, place: int) -> None:
        stuck = self.model.stuck_at()
        step = stuck[place % len(stuck)]
        decision = self.world.write(lambda saga: skip(saga, step, timing=TIMING))
        assert decision.answer == Accepted()
        self.model.skipped(step)
        self.person = True

    @precondition(lambda self: self.model.parked)
    @rule(completed=st.sampled_from([None, True, False]))
    def resolve(self, completed: bool | None) -> None:  # noqa: FBT001
        decision = self.world.write(
            lambda saga: resolve(saga, completed=completed, resolved=RESOLVED)
        )
        assert decision.answer == Accepted()
        self.model.resolved = self.person = True

    def teardown(self) -> None:
        """Kill every worker and lose every message, then let one good worker finish the saga."""
        if not hasattr(self, "world"):
            return
        for _ in range(60):
            if self.world.saga.status in ENDED:
                return
            self.world.dead.update(execution.token for execution in self.world.executions)
            self.world.messages.clear()
            self.recover()
            self.keeps_its_promises()
            self.work((Succeeded("1"), True))
            self.keeps_its_promises()
        raise AssertionError(f"It does not end: {self.world.saga}")


#: Shared out among the processes of a test run.
PARTS = 8
EXAMPLES = int(os.environ.get("SAGAS_TEST_WALKS", "2000"))


@pytest.mark.parametrize("part", range(PARTS))
def test_every_walk_takes_only_legal_steps_and_ends_correctly(part: int) -> None:
    machine = seed(part)(type("Walk", (Walk,), {}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES // PARTS,
            stateful_step_count=50,
            phases=[Phase.generate, Phase.shrink],  # explaining takes longer than finding
            suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
            deadline=None,
            database=None,
        ),
    )
