"""A saga as decisions see it: plain values at one moment of the database's clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sagas.decision.columns import Blocked, Parked, SagaFailure
from sagas.plan import Plan
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["SagaState", "StepState", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations that decisions use, in seconds.

    ``lease_s``: a worker or a message without a sign of life for this long is checked.
    ``timer_s``: a longer wait is kept in the record; a shorter one in a countdown message, which
    lives in one worker's memory.
    ``max_check_interval_s``: the longest time between two checks of a saga that is under way.
    ``grace_s``: how long an attempt may clean up after its timeout before its process is killed.
    """

    lease_s: float = 3.0
    timer_s: float = 2.0
    max_check_interval_s: float = 60.0
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of one saga, as the record has it.

    ``doubtful``: an attempt ended without a certain outcome, so the step may have happened,
    whatever later attempts report. ``probe_attempt``: how often the probe ran on its own, after the
    last attempt. ``losses`` and ``compensation_losses``: how many of the attempts were lost with
    their workers. ``postponements``, ``postponed_s`` and their like: how many of them the
    participant postponed, and for how many seconds in all. ``claim``: the execution that holds the
    step, or held it last. ``retry_at``: when the next attempt is due, None where none is planned.
    ``expires_at``: the moment at which the timeout ends a running attempt in any case.
    ``attended``: the worker that holds the step has not been expired.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    compensation_attempt: int = 0
    doubtful: bool = False
    claim: str | None = None
    worker: UUID | None = None
    task_id: str | None = None
    probe_attempt: int = 0
    losses: int = 0
    compensation_losses: int = 0
    postponements: int = 0
    compensation_postponements: int = 0
    postponed_s: int = 0
    compensation_postponed_s: int = 0
    retry_at: datetime | None = None
    expires_at: datetime | None = None
    attended: bool = True

    def attempts(self, operation: Operation) -> int:
        """Return how many attempts of the operation were claimed."""
        return self.attempt if operation is Operation.ACTION else self.compensation_attempt

    def lost(self, operation: Operation) -> int:
        """Return how many of them were lost with their workers."""
        return self.losses if operation is Operation.ACTION else self.compensation_losses

    def postponed(self, operation: Operation) -> tuple[int, int]:
        """Return how many of them were postponed, and for how many seconds in all."""
        if operation is Operation.ACTION:
            return self.postponements, self.postponed_s
        return self.compensation_postponements, self.compensation_postponed_s

    def counted(self, operation: Operation) -> int:
        """Return how many of them count against the policy: only those say something about it."""
        return self.attempts(operation) - self.lost(operation) - self.postponed(operation)[0]

    @property
    def held(self) -> bool:
        """Whether an execution holds this step, or held it until its process died."""
        running = self.status in (StepStatus.RUNNING, StepStatus.COMPENSATING)
        return running and self.claim is not None


@dataclass(frozen=True, slots=True)
class SagaState:
    """One saga at the database's time *now*; locked, where a decision is to be written.

    ``failure``: what makes the saga turn back; one that still moves forward turns as soon as no
    execution holds a step. ``deadline_at`` is None where no deadline applies, or none any longer.
    ``checks``: how often the sweep has checked the saga since its last progress. ``resends``: how
    often in a row its message was sent again without being claimed. ``copies``: how many copies of
    it were sent, as nothing was known about it. ``failed_sweeps``: how often in
    a row the sweep failed to advance it. ``unconsumed``: in how many checks in a row no living
    worker consumed the queue of its message. ``blocked``: why it cannot go on by itself; people
    have been alerted. ``turn``: see ``plain``.
    """

    id: UUID
    name: str
    key: str
    status: SagaStatus
    epoch: int
    plan: Plan
    steps: Mapping[str, StepState]
    now: datetime
    checks: int = 0
    sent_at: datetime | None = None
    failure: SagaFailure | None = None
    parked: Parked | None = None
    deadline_at: datetime | None = None
    resends: int = 0
    copies: int = 0
    failed_sweeps: int = 0
    unconsumed: int = 0
    blocked: Blocked | None = None
    turn: str | None = None

    def step(self, name: str) -> StepState:
        """Return the state of a step; a step that was never claimed is PENDING."""
        return self.steps.get(name) or StepState(name)
