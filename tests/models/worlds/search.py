"""A breadth-first search of every reachable world, with a check of each."""

from dataclasses import dataclass

from sagas.plan import PlannedStep
from sagas.states import ENDED, SagaStatus, StepStatus
from tests.models.worlds.record import Records
from tests.models.worlds.world import Message, Rules, World
from tests.support.states import ACTION

__all__ = ["Found", "Small", "explore"]

HAD_EFFECT = {"done", "undone"}


@dataclass(frozen=True)
class Small:
    """A small world: its plan, and how much can go wrong in it."""

    plan: tuple[PlannedStep, ...]
    crashes: int = 2
    doubles: int = 2
    errors: int = 1
    stops: int = 0
    deadline: bool = False
    skipped: str = ""
    undo_refused: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    worlds: int
    records: int
    moves: int
    ends: frozenset[SagaStatus]
    effects: frozenset[str]


def explore(small: Small) -> Found:
    """Visit every world; raises AssertionError with the path to the first wrong one."""
    records = Records(small.plan, deadline=small.deadline, skipped=small.skipped)
    rules = Rules(records, undo_refused=small.undo_refused, busy=small.busy)
    search = _Search(rules, _first(small, records))
    search.run()
    search.check_liveness()
    return search.found()


def _first(small: Small, records: Records) -> World:
    saga = records[records.first]
    steps = tuple(step.name for step in saga.plan if saga.step(step.name).status != "SKIPPED")
    effects = tuple("none" for _ in small.plan)
    message = Message(ACTION, steps)
    budgets = (small.crashes, small.doubles, small.errors, small.stops)
    return World(records.first, (message,), (), effects, *budgets)


class _Search:
    def __init__(self, rules: Rules, first: World) -> None:
        self._rules = rules
        self._records = rules.records
        self._worlds = [first]
        self._numbers = {first: 0}
        #: The move and the world from which each world was first reached.
        self._from: list[tuple[int, str]] = [(0, "start")]
        #: The worlds that lead to each world by a fair move.
        self._before: list[list[int]] = [[]]
        self._checked: set[tuple[int, tuple[str, ...]]] = set()
        self._moves = 0

    def run(self) -> None:
        for number, world in enumerate(self._worlds):  # it grows during the loop
            try:
                self._visit(number, world)
                if (seen := (world.record, world.effects)) not in self._checked:
                    self._checked.add(seen)
                    self._check(world)
            except AssertionError as wrong:
                raise AssertionError(f"{wrong}\n{self.way_to(number)}") from wrong

    def _visit(self, number: int, world: World) -> None:
        for name, following, fair in self._rules.moves(world):
            self._moves += 1
            there = self._numbers.setdefault(following, len(self._worlds))
            if there == len(self._worlds):
                self._worlds.append(following)
                self._from.append((number, name))
                self._before.append([])
            if fair:
                self._before[there].append(number)

    def way_to(self, number: int) -> str:
        """Return the moves that lead to a world, the latest last."""
        way = [str(self._records[self._worlds[number].record])]
        while number:
            before, name = self._from[number]
            way.append(f"{name}: {self._worlds[number]}")
            number = before
        return "\n".join(reversed(way))

    def check_liveness(self) -> None:
        """Check that fair moves alone lead from every world to an end."""
        ends = [number for number, world in enumerate(self._worlds) if self._ended(world)]
        live = set(ends)
        while ends:
            more = set(self._before[ends.pop()]) - live
            live |= more
            ends += more
        for number in range(len(self._worlds)):
            assert number in live, f"no end can be reached any more:\n{self.way_to(number)}"

    def _ended(self, world: World) -> bool:
        return self._records[world.record].status in ENDED

    def _check(self, world: World) -> None:
        saga = self._records[world.record]
        for planned, effect in zip(saga.plan, world.effects, strict=True):
            status = saga.step(planned.name).status
            assert effect in _MAY_BE[status], f"S11: {planned.name} is {status}, and {effect}"
            if saga.status is SagaStatus.COMPLETED and not planned.best_effort:
                skipped = status is StepStatus.SKIPPED
                assert effect == ("none" if skipped else "done"), f"S5: {planned.name} {effect}"
            if saga.status is SagaStatus.COMPLETED:
                assert effect != "undone", f"S5: {planned.name} was undone"
            if saga.status is SagaStatus.COMPENSATED and planned.compensation:
                assert effect != "done", f"S6: {planned.name} is left behind"
            if saga.status is SagaStatus.COMPENSATED and not _harmless(planned):
                assert effect != "done", f"S6: {planned.name} cannot be undone"
                assert status is not StepStatus.UNKNOWN, f"S6: {planned.name} is unknown"
            if saga.status is SagaStatus.FAILED and planned.compensation:
                self._check_parked(world, planned, effect)

    def _check_parked(self, world: World, planned: PlannedStep, effect: str) -> None:
        """Check that a saga parked on its way back names everything that is left."""
        parked = self._records[world.record].parked
        assert parked is not None
        if parked["operation"] is not ACTION and planned.name not in parked["steps"]:
            assert effect != "done", f"S6: {planned.name} is left behind, and not named"

    def found(self) -> Found:
        statuses = {self._records[world.record].status for world in self._worlds}
        effects = {effect for world in self._worlds for effect in world.effects}
        return Found(
            worlds=len(self._worlds),
            records=len(self._records),
            moves=self._moves,
            ends=frozenset(statuses & ENDED),
            effects=frozenset(effects),
        )


def _harmless(planned: PlannedStep) -> bool:
    return planned.best_effort or planned.read_only or planned.compensation is not None


#: What a participant may have done, by the status of the step in the record.
_MAY_BE = {
    StepStatus.PENDING: {"none"},
    StepStatus.RUNNING: {"none", "done", "tombstone"},
    StepStatus.SUCCESS: {"done"},
    StepStatus.FAILED: {"none", "tombstone"},
    StepStatus.UNKNOWN: {"none", "done", "tombstone"},
    StepStatus.SKIPPED: {"none"},
    StepStatus.COMPENSATING: {"none", "done", "undone", "tombstone"},
    StepStatus.COMPENSATED: {"undone", "tombstone"},
    StepStatus.COMPENSATION_FAILED: {"none", "done", "undone", "tombstone"},
}
