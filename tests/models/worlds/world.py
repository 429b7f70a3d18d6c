"""One saga, two workers, a sweeper, a participant with a barrier, and every move each can make."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sagas.decision import Accepted, Done, Granted, Recorded, remaining
from sagas.decision.progress import overdue
from sagas.states import ENDED, FORWARD, Operation, StepStatus
from tests.models.worlds.record import Outcome, Records

__all__ = ["Execution", "Message", "Move", "Rules", "World"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION
WORKERS = 2
T = TypeVar("T")


class Message(NamedTuple):
    """A link of a chain: its step and the steps after it."""

    operation: Operation
    steps: tuple[str, ...]


class Execution(NamedTuple):
    """A process that was granted an attempt.

    *result* is empty until there is one. *holds*: the record has it as the holder. *stalled*: it is
    taken for dead and will wake up.
    """

    operation: Operation
    steps: tuple[str, ...]
    ask: bool
    run: bool
    result: str = ""
    probed: str = ""
    holds: bool = True
    stalled: bool = False

    @property
    def step(self) -> str:
        """The step that it runs."""
        return self.steps[0]


class World(NamedTuple):
    """The whole state; *effects* is none, done, undone or tombstone for each step."""

    record: int
    messages: tuple[Message, ...]
    executions: tuple[Execution, ...]
    effects: tuple[str, ...]
    crashes: int
    doubles: int
    errors: int
    stops: int


class Move(NamedTuple):
    """A move and the world it leads to; a *fair* move has no fault and no interference."""

    name: str
    world: World
    fair: bool = True


@dataclass(frozen=True)
class Rules:
    """What can happen in the worlds of one plan."""

    records: Records
    undo_refused: bool = False
    busy: bool = False

    def moves(self, world: World) -> Iterator[Move]:
        """Return every possible move."""
        if len(world.executions) < WORKERS:
            for message in dict.fromkeys(world.messages):
                yield from self._deliver(world, message)
        for execution in dict.fromkeys(world.executions):
            rest = _without(world.executions, execution)
            yield from self._execute(world._replace(executions=rest), execution)
        yield from self._sweep(world)
        yield from self._stop(world)

    def _deliver(self, world: World, message: Message) -> Iterator[Move]:
        taken = world._replace(messages=_without(world.messages, message))
        yield Move("deliver", self._claim(taken, message))
        if world.doubles:
            kept = world._replace(doubles=world.doubles - 1)
            yield Move("deliver twice", self._claim(kept, message), fair=False)
        if world.crashes:
            lost = taken._replace(crashes=world.crashes - 1)
            yield Move("lose", lost, fair=False)

    def _claim(self, world: World, message: Message) -> World:
        operation, steps = message
        outcome = self.records.decide(world.record, ("claim", operation, steps[0]))
        match outcome.answer:
            case Granted(ask=ask, run=run):
                self._check_turn(world, message)
                execution = Execution(operation, steps, ask, run)
                return self._after(world, outcome, (execution,))
            case Done() if steps[1:]:
                world = self._after(world, outcome)
                return _sent(world, Message(operation, steps[1:]))
            case _:
                return self._after(world, outcome)

    def _check_turn(self, world: World, message: Message) -> None:
        saga, names = self.records[world.record], [step.name for step in self.records.plan]
        place = names.index(message.steps[0])
        if message.operation is COMPENSATION:
            for planned in saga.plan.steps[place + 1 :]:
                status = saga.step(planned.name).status
                undone = (StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED)
                ran = status in (StepStatus.SUCCESS, StepStatus.UNKNOWN, StepStatus.COMPENSATING)
                assert not planned.compensation or not ran or status in undone, f"S8: {world}"
            return
        for planned, effect in zip(saga.plan.steps[:place], world.effects, strict=False):
            skipped = saga.step(planned.name).status is StepStatus.SKIPPED
            assert effect == "done" or skipped or planned.best_effort, f"S9: {world}"

    def _after(self, world: World, outcome: Outcome, more: tuple[Execution, ...] = ()) -> World:
        """Return the world once a decision is written but not yet published."""
        if outcome.record == world.record and not outcome.raised:
            return world
        saga = self.records[outcome.record]
        kept = []
        for execution in world.executions:
            held = saga.step(execution.step).held and not outcome.raised
            now = execution if held else execution._replace(holds=False, stalled=False)
            if now.holds or not now.result:  # a fenced execution does nothing after its effect
                kept.append(now)
        executions = _in_order([*kept, *more]) if kept or more else ()
        messages = () if outcome.raised else world.messages  # those of an older epoch are void
        return World(outcome.record, messages, executions, *world[3:])

    def _execute(self, world: World, execution: Execution) -> Iterator[Move]:
        """Return the moves of an execution that *world* no longer contains."""
        if world.crashes and execution.holds:
            crashed = world._replace(crashes=world.crashes - 1)
            yield Move("kill", crashed, fair=False)
            if not execution.stalled:
                stalled = execution._replace(stalled=True)
                yield Move("stall", _with(crashed, stalled), fair=False)
        if execution.result:
            yield from self._conclude(world, execution)
        elif execution.ask and not execution.probed:
            yield from self._ask(world, execution)
        else:
            yield from self._run(world, execution)

    def _ask(self, world: World, execution: Execution) -> Iterator[Move]:
        yield self._ended(world, execution._replace(result="errored"), fair=False)
        if self.busy:
            yield self._ended(world, execution._replace(result="busy"), fair=False)
        happened = self._effect(world, execution) == "done"
        execution = execution._replace(probed="yes" if happened else "no")
        action = execution.operation is ACTION
        if happened if action else not happened:
            result = "ok"
        elif action and not execution.run:
            result = "refused"
        else:
            yield Move("probe", _with(world, execution))
            return
        if not happened and self._effect(world, execution) == "none":
            world = self._has(world, execution, "tombstone")  # it did not happen, and will not
        yield self._ended(world, execution._replace(result=result))

    def _run(self, world: World, execution: Execution) -> Iterator[Move]:
        before = self._effect(world, execution)
        if execution.operation is COMPENSATION:
            following = {"none": "tombstone", "done": "undone"}.get(before, before)
            hanging, refusable = False, self.undo_refused and before == "done"
        else:
            following = "done" if before in ("none", "done") else before
            hanging, refusable = following != "done", before == "none"
        applied = self._has(world, execution, following)
        if not hanging:
            yield self._ended(applied, execution._replace(result="ok"))
        if following != before:
            yield self._ended(applied, execution._replace(result="errored"), fair=False)
        yield self._ended(world, execution._replace(result="errored"), fair=hanging)
        if self.busy:
            yield self._ended(world, execution._replace(result="busy"), fair=False)
        if refusable:
            yield self._ended(world, execution._replace(result="refused"), fair=False)

    def _ended(self, world: World, execution: Execution, *, fair: bool = True) -> Move:
        """Give an execution its result, which is of no use if it is already fenced."""
        return Move(execution.result, _with(world, execution) if execution.holds else world, fair)

    def _conclude(self, world: World, execution: Execution) -> Iterator[Move]:
        operation, step, result = execution.operation, execution.step, execution.result
        event = ("conclude", operation, step, result, execution.probed)
        outcome = self.records.decide(world.record, event)
        assert outcome.answer is not None
        silent = self._after(world, outcome)
        yield Move("conclude", self._published(silent, outcome, execution))
        if world.crashes:
            lost = silent._replace(crashes=world.crashes - 1)
            yield Move("conclude, and die", lost, fair=False)

    def _published(self, world: World, outcome: Outcome, execution: Execution) -> World:
        """Send what the decision says, or the next link of the chain, as Celery does."""
        following = outcome.dispatch
        if following is None and execution.result == "ok" and outcome.answer == Recorded():
            if execution.steps[1:]:
                return _sent(world, Message(execution.operation, execution.steps[1:]))
            following = remaining(self.records[world.record], execution.operation)
        return _sent(world, Message(following.operation, following.steps)) if following else world

    def _sweep(self, world: World) -> Iterator[Move]:
        if self.records[world.record].status in ENDED:
            return
        lives = any(e.holds and not e.stalled for e in world.executions)
        truth = not world.messages
        yield from self._swept(world, "sweep", lives=lives, lost=truth)
        if world.errors and not truth:
            wrong = world._replace(errors=world.errors - 1)
            for move in self._swept(wrong, "sweep in error", lives=lives, lost=True):
                yield move._replace(fair=False)

    def _swept(self, world: World, name: str, *, lives: bool, lost: bool) -> Iterator[Move]:
        outcome = self.records.decide(world.record, ("sweep", lives, lost))
        yield from self._decided(world, name, outcome, fair=True)

    def _decided(self, world: World, name: str, outcome: Outcome, *, fair: bool) -> Iterator[Move]:
        silent = self._after(world, outcome)
        if not outcome.dispatch:
            yield Move(name, silent, fair)
            return
        message = Message(outcome.dispatch.operation, outcome.dispatch.steps)
        yield Move(name, _sent(silent, message), fair)
        if world.crashes:
            yield Move("decide, and die", silent._replace(crashes=world.crashes - 1), fair=False)

    def _stop(self, world: World) -> Iterator[Move]:
        if not world.stops:
            return
        stopped = world._replace(stops=world.stops - 1)
        saga = self.records[world.record]
        outcome = self.records.decide(world.record, ("cancel",))
        if outcome.answer == Accepted() and saga.status in FORWARD:
            yield from self._decided(stopped, "cancel", outcome, fair=False)
        if saga.deadline_at is not None and not overdue(saga):
            late = stopped._replace(record=self.records.overdue(world.record))
            yield Move("deadline", late, fair=False)

    def _effect(self, world: World, execution: Execution) -> str:
        return world.effects[self._place(execution)]

    def _has(self, world: World, execution: Execution, effect: str) -> World:
        place = self._place(execution)
        before, after = world.effects[:place], world.effects[place + 1 :]
        return world._replace(effects=(*before, effect, *after))

    def _place(self, execution: Execution) -> int:
        return [step.name for step in self.records.plan].index(execution.step)


def _sent(world: World, message: Message) -> World:
    return world._replace(messages=tuple(sorted((*world.messages, message))))


def _with(world: World, execution: Execution) -> World:
    return world._replace(executions=_in_order((*world.executions, execution)))


def _in_order(executions: Iterable[Execution]) -> tuple[Execution, ...]:
    return tuple(sorted(executions))


def _without(those: tuple[T, ...], one: T) -> tuple[T, ...]:
    place = those.index(one)
    return those[:place] + those[place + 1 :]
