"""A world of one saga in which anything can go wrong, all of it derived from one seed.

The decisions are the real ones. Around them, as plain data, are a broker, workers, participants, a
clock and people. Each process is a generator that pauses at every boundary where a process can die
or be stopped. The seed decides which process goes on, and which never does.
"""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from sagas.decision import (
    Decision,
    Dispatch,
    Evidence,
    SagaState,
    StepState,
    Transition,
    advance,
)
from sagas.states import Operation
from tests.models.schedules.broker import Broker, Message
from tests.models.schedules.participant import ACTION, Kind, Participant
from tests.models.schedules.plans import random_plan, random_skips
from tests.models.schedules.record import TIMING, Record
from tests.support.prediction import is_believed

__all__ = ["Process", "Running", "Worker", "World"]

Running = Generator[str, None, None]
Decide = Callable[[SagaState], Decision]
RESERVATION_S = 3 * TIMING.lease_s


@dataclass(slots=True, eq=False)
class Worker:
    """One incarnation of a worker's main process; ``seen_at`` is its last heartbeat."""

    id: UUID
    seen_at: datetime
    stopped: bool = False  # together with everything that it runs
    silent: bool = False  # its heartbeats do not arrive
    tasks: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Process:
    """A process that pauses at a boundary; *worker* is None for starters and people."""

    what: str
    running: Running
    worker: Worker | None = None
    message: Message | None = None
    at: str = "begun"


class World:
    """One saga, and everything around it."""

    def __init__(
        self, seed: int, record: Callable[..., Record] = Record, *, story: bool = False
    ) -> None:
        self.random = random = Random(seed)
        self.story: list[str] | None = [] if story else None
        self.counts: Counter[str] = Counter()
        plan = random_plan(random)
        delay_s = random.choice((0.0, 0.0, 0.0, 10.0))
        self.skipped = random_skips(random, plan)
        self.record = record(plan, self.skipped, delay_s=delay_s, number=seed)
        self.participant = Participant(random.choice(_KINDS))
        self.broker = Broker(random.choice((1, 2, 16, 16)))
        self.processes: list[Process] = []
        self.tokens = 0
        self.workers = [self._new_worker() for _ in range(3)]
        self.people = 0
        self.reply_loss = random.choice((0.0, 0.0, 0.05, 0.3))
        self.false_evidence = random.choice((0.0, 0.0, 0.05, 0.3))
        self.moods = {operation: random.choice(MOODS) for operation in Operation}
        if not delay_s:
            self.spawn("start", self._start())

    @property
    def saga(self) -> SagaState:
        """The saga as the record has it."""
        return self.record.saga

    def tell(self, *words: object) -> None:
        """Add to the story, if one is wanted."""
        if self.story is not None:
            saga = self.saga
            steps = " ".join(f"{s.name}={s.status}" for s in saga.steps.values())
            clock = (self.record.now - self.started_at).total_seconds()
            said = " ".join(map(str, words))
            self.story.append(f"{clock:7.1f} s  {said:<60} {saga.status} #{saga.epoch} {steps}")

    @property
    def started_at(self) -> datetime:
        """When the saga was started."""
        return self.record.history[0][1].at

    def _new_worker(self) -> Worker:
        self.tokens += 1
        return Worker(UUID(int=self.tokens), self.record.now)

    def new_worker_for(self, worker: Worker) -> None:
        """Start a worker's next incarnation."""
        self.workers[self.workers.index(worker)] = self._new_worker()

    def spawn(
        self,
        what: str,
        running: Running,
        worker: Worker | None = None,
        message: Message | None = None,
    ) -> None:
        """Start a process and run it to its first boundary."""
        process = Process(what, running, worker, message)
        self.processes.append(process)
        self.go_on(process)

    def go_on(self, process: Process) -> None:
        """Run a process to its next boundary."""
        try:
            process.at = next(process.running)
        except StopIteration:
            self.processes.remove(process)
            process.at = "over"
        if self.story is not None:
            self.tell(process.what, "is", process.at)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock; workers write their heartbeats."""
        now = self.record.now = self.record.now + timedelta(seconds=seconds)
        for worker in self.workers:
            if not worker.stopped and not worker.silent:
                worker.seen_at = now
        if self.story is not None:
            self.tell(seconds, "seconds pass")

    def commit(
        self, decide: Decide, actor: str, predicted: SagaState | None = None
    ) -> Generator[str, None, Transition]:
        """Write to the record; if the reply is lost, the transaction is repeated."""
        if predicted is not None:
            right = is_believed(predicted, self.record.saga)
            self.counts[f"prediction: {'right' if right else 'wrong'}"] += 1
        done = self.record.transition(decide, actor, predicted)
        while self.reply_loss and self.random.random() < self.reply_loss:
            self.counts["fault: reply lost"] += 1
            yield "without a reply"
            done = self.record.transition(decide, actor, predicted)
        return done

    def publish(self, dispatch: Dispatch, epoch: int) -> None:
        """Send a chain."""
        not_before = self.record.now + timedelta(seconds=dispatch.countdown_s)
        self.broker.publish(dispatch, epoch, not_before)

    def _start(self) -> Running:
        yield "committed"
        first = tuple(step.name for step in self.saga.plan if step.name not in self.skipped)
        if first:
            self.publish(Dispatch(ACTION, first), 1)

    def advance(
        self,
        alive: Callable[[StepState], bool],
        lost: Callable[[SagaState], bool],
        actor: str,
        evidence: Evidence = Evidence(),  # noqa: B008 - frozen
    ) -> Running:
        """Decide, write, commit and publish what the saga needs, as a duty does."""

        def decide(saga: SagaState) -> Decision:
            return advance(
                saga,
                alive=alive,
                lost=lost(saga),
                timing=TIMING,
                chance=0,
                evidence=evidence,
            )

        moved = yield from self.commit(decide, actor)
        if moved.decision.note and moved.decision.note != "deadline passed":
            self.counts[f"rescue: {moved.decision.note}"] += 1
        yield "committed"
        if dispatch := moved.decision.dispatch:
            self.publish(dispatch, moved.after.epoch)


#: What a participant may do, in worlds of different difficulty.
MOODS = (
    ("fine",),
    ("fine",) * 6 + ("refuse", "busy", "error before", "error after", "late"),
    ("fine", "refuse", "busy", "error before", "error after", "late"),
    ("fine", "busy", "busy", "error after"),
    ("fine", "refuse", "refuse", "error before"),
)
_KINDS = (Kind.BARRIER, Kind.BARRIER, Kind.CONTRARY, Kind.FORGETS, Kind.KEYLESS)
