"""What may come of an attempt, what is decided, and what is answered to whoever asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagas.states import Operation, SagaStatus, StepStatus

__all__ = [
    "Accepted",
    "Answer",
    "Broke",
    "Decision",
    "Declined",
    "Dispatch",
    "Done",
    "Dropped",
    "Fenced",
    "Granted",
    "Probed",
    "Recorded",
    "Refused",
    "Result",
    "RetryLater",
    "StepChange",
    "Succeeded",
]


@dataclass(frozen=True, slots=True)
class Probed:
    """The participant was asked whether the action happened; *output* is JSON where it did."""

    happened: bool
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action or the compensation returned; *output* is JSON.

    *probed*, here and below: what the probe said first, where it was asked.
    """

    output: str | None = None
    probed: Probed | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The participant said no: certainly no effect of this attempt, and no use in repeating it."""

    error: Mapping[str, Any]
    probed: Probed | None = None


@dataclass(frozen=True, slots=True)
class Broke:
    """The attempt raised, timed out or was lost with its worker: it may have happened.

    *final*: to repeat it is of no use.
    """

    error: Mapping[str, Any]
    final: bool = False
    probed: Probed | None = None


Result = Succeeded | Refused | Broke


@dataclass(frozen=True, slots=True)
class Granted:
    """Run this attempt.

    *ask*: ask the probe first. *run*: whether an action may run where the probe finds no effect.
    """

    attempt: int
    ask: bool = False
    run: bool = True


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


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a person asked for is written, or was so already."""


@dataclass(frozen=True, slots=True)
class Declined:
    """What a person asked for cannot be done; nothing is written."""

    reason: str


Answer = Granted | Done | Dropped | Recorded | RetryLater | Fenced | Accepted | Declined


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
    of the saga; ``note`` is a history entry for what no status tells, and ``why`` a person's reason
    for it.
    """

    answer: Answer | None = None
    path: tuple[SagaStatus, ...] = ()
    raise_epoch: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[StepChange, ...] = ()
    note: str | None = None
    why: str | None = None
    dispatch: Dispatch | None = None
