"""A saga as the decisions see it: plain values at one moment of the database's clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sagas.plan import Plan
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = ["SagaState", "StepState", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations that decisions use, in seconds.

    ``lease_s``: after so long without a sign of life, a worker or a message is looked into.
    ``timer_s``: a wait longer than this is kept in the record and not in a countdown message,
    which would live in one worker's memory.
    ``look_s``: how often a step that runs on a living worker is looked at.
    ``grace_s``: how long after its timeout an attempt may clean up before its process is killed.
    """

    lease_s: float = 3.0
    timer_s: float = 2.0
    look_s: float = 60.0
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of one saga, as the record has it.

    ``doubtful``: an attempt ended without a certain outcome, so the step may have happened,
    whatever later attempts say. ``probe_attempt``: how often the probe alone was asked, once the
    attempts had run out. ``claim``: the execution that holds the step, or held it
    last. ``retry_at``: when the next attempt is due, None where none is planned. ``expires_at``:
    when a running attempt is over whatever it does, by its timeout. ``attended``: the worker that
    holds it is not buried.
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
    retry_at: datetime | None = None
    expires_at: datetime | None = None
    attended: bool = True

    def attempts(self, operation: Operation) -> int:
        """Return how many attempts of the operation were claimed."""
        return self.attempt if operation is Operation.ACTION else self.compensation_attempt

    @property
    def held(self) -> bool:
        """Whether an execution holds this step, or held it until its process died."""
        running = self.status in (StepStatus.RUNNING, StepStatus.COMPENSATING)
        return running and self.claim is not None


@dataclass(frozen=True, slots=True)
class SagaState:
    """One saga, locked, at the database's time *now*.

    ``failure``: what makes it turn back; a saga that still moves forward turns as soon as no
    execution holds a step. ``deadline_at`` is None where no deadline applies, or none any more.
    ``resends``: how often in a row its message was sent again and nobody claimed it.
    ``stumbles``: how often in a row the sweep could not move it on. ``waiting``: what it waits for
    that does not come by itself, and people were told of.
    """

    id: UUID
    name: str
    key: str
    status: SagaStatus
    epoch: int
    plan: Plan
    steps: Mapping[str, StepState]
    now: datetime
    looks: int = 0
    sent_at: datetime | None = None
    failure: Mapping[str, Any] | None = None
    parked: Mapping[str, Any] | None = None
    deadline_at: datetime | None = None
    resends: int = 0
    stumbles: int = 0
    waiting: Mapping[str, Any] | None = None

    def step(self, name: str) -> StepState:
        """Return the state of a step; one that was never claimed is PENDING."""
        return self.steps.get(name) or StepState(name)
