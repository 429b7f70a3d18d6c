"""The columns that a decision may write, and the JSON objects in them.

A type checker refuses a name that is not here, and so does the fold in ``transition``.
"""

from datetime import datetime
from typing import NotRequired, TypedDict
from uuid import UUID

from sagas.states import Operation

__all__ = [
    "AttemptError",
    "Blocked",
    "Failing",
    "Holder",
    "Parked",
    "Resolved",
    "SagaColumns",
    "SagaFailure",
    "StepColumns",
    "attempt_ended",
    "attempt_failed",
    "attempt_lost",
    "attempt_postponed",
    "attempt_started",
    "without_traceback",
]


class AttemptError(TypedDict):
    """The error that ended an attempt; *code* is set where it was a ``StepFailed`` with a code."""

    type: str
    message: str
    code: NotRequired[str | None]
    traceback: NotRequired[str]


class SagaFailure(TypedDict):
    """What made a saga turn back; *step* is None for a cancel or a deadline."""

    step: str | None
    type: str
    message: str
    code: NotRequired[str | None]


class Parked(TypedDict):
    """Why a saga is parked: the steps it is stuck at, and the direction in which it was going."""

    reason: str
    steps: list[str]
    operation: Operation


class Blocked(TypedDict):
    """Why a saga is blocked; *task* and *queue* are set where no worker has its task."""

    reason: str
    steps: list[str]
    task: NotRequired[str]
    queue: NotRequired[str | None]


class Failing(TypedDict):
    """Which step keeps failing, and how; its attempts have not run out."""

    reason: str
    steps: list[str]


class Resolved(TypedDict):
    """Who ended a parked saga, why, and when (ISO 8601)."""

    by: str
    note: str
    at: str


class SagaColumns(TypedDict, total=False):
    """Columns of ``saga``; status and epoch follow from the decision itself."""

    due_at: datetime | None
    sent_at: datetime | None
    checks: int
    resends: int
    copies: int
    failed_sweeps: int
    unconsumed: int
    failure: SagaFailure | None
    parked: Parked | None
    blocked: Blocked | None
    resolved: Resolved | None
    deadline_at: datetime | None
    ended_at: datetime | None
    turn: str | None


class Holder(TypedDict, total=False):
    """Who claims a step: the worker's incarnation, its node name, and the Celery task's id."""

    worker: UUID | None
    hostname: str
    task_id: str


class StepColumns(Holder, total=False):
    """Columns of ``saga_step``; the status follows from the change itself."""

    attempt: int
    compensation_attempt: int
    probe_attempt: int
    losses: int
    compensation_losses: int
    postponements: int
    compensation_postponements: int
    postponed_s: int
    compensation_postponed_s: int
    claim: str | None
    doubtful: bool
    output: str | None
    error: AttemptError | None
    compensation_error: AttemptError | None
    retry_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    compensation_started_at: datetime | None
    compensation_ended_at: datetime | None


def attempt_started(operation: Operation, attempt: int, at: datetime) -> StepColumns:
    """Return the columns of an attempt that begins; each operation has its own."""
    if operation is Operation.ACTION:
        return {"attempt": attempt, "started_at": at, "ended_at": None}
    return {
        "compensation_attempt": attempt,
        "compensation_started_at": at,
        "compensation_ended_at": None,
    }


def attempt_ended(operation: Operation, at: datetime) -> StepColumns:
    """Return the columns of an attempt that has ended."""
    if operation is Operation.ACTION:
        return {"ended_at": at}
    return {"compensation_ended_at": at}


def attempt_failed(operation: Operation, at: datetime, error: AttemptError) -> StepColumns:
    """Return the columns of an attempt that ended with an error."""
    if operation is Operation.ACTION:
        return {"ended_at": at, "error": error}
    return {"compensation_ended_at": at, "compensation_error": error}


def attempt_lost(operation: Operation, losses: int) -> StepColumns:
    """Return the column that counts the attempts lost with their workers."""
    if operation is Operation.ACTION:
        return {"losses": losses}
    return {"compensation_losses": losses}


def attempt_postponed(operation: Operation, postponements: int, waiting_s: int) -> StepColumns:
    """Return the columns that count the attempts that were postponed, and for how long in all."""
    if operation is Operation.ACTION:
        return {"postponements": postponements, "postponed_s": waiting_s}
    return {
        "compensation_postponements": postponements,
        "compensation_postponed_s": waiting_s,
    }


def without_traceback(error: AttemptError) -> AttemptError:
    """Leave out the traceback, which the step keeps for its last attempt."""
    brief = error.copy()
    brief.pop("traceback", None)
    return brief
