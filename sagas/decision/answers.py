"""What may come of an attempt, what is decided, and what is answered to whoever asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagas.states import Operation, SagaStatus, StepStatus

__all__ = [
    "Answer",
    "Broke",
    "Decision",
    "Dispatch",
    "Done",
    "Dropped",
    "Fenced",
    "Granted",
    "Recorded",
    "Refused",
    "Result",
    "RetryLater",
    "StepChange",
    "Succeeded",
]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action or the compensation returned; *output* is JSON."""

    output: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The participant said no: certainly no effect of this attempt, and no use in repeating it."""

    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broke:
    """The attempt raised, timed out or was lost with its worker: it may have happened."""

    error: Mapping[str, Any]


Result = Succeeded | Refused | Broke


@dataclass(frozen=True, slots=True)
class Granted:
    """Run this attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Done:
    """The step is settled already: run nothing, and let the chain go on."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """This message is void: run nothing, and end its chain."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Written, and no further attempt follows; *ended*: the saga has ended with it."""

    ended: bool = False


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Written; the next attempt follows after *wait_s* seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Fenced:
    """Not written: the saga has moved on without this attempt."""


Answer = Granted | Done | Dropped | Recorded | RetryLater | Fenced


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Publish a chain of these steps, once the decision is committed."""

    operation: Operation
    steps: tuple[str, ...]
    countdown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step's new status, the columns that change with it, and what the history says of it."""

    name: str
    operation: Operation
    attempt: int
    status: StepStatus
    values: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, what to publish, and what to answer.

    ``path`` are the statuses that the saga walks through, in order; ``values`` are further columns
    of the saga; ``note`` is a history entry for a take-over that changes no status.
    """

    answer: Answer | None = None
    path: tuple[SagaStatus, ...] = ()
    raise_epoch: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[StepChange, ...] = ()
    note: str | None = None
    dispatch: Dispatch | None = None
