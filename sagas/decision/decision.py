"""What is decided: what to write, what to publish, and what to answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sagas.decision.columns import Failing, SagaColumns, StepColumns
from sagas.events import Event
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = [
    "Accepted",
    "Answer",
    "Decision",
    "Declined",
    "Dispatch",
    "Done",
    "Dropped",
    "Fenced",
    "Granted",
    "Recorded",
    "RetryLater",
    "StepChange",
]


@dataclass(frozen=True, slots=True)
class Granted:
    """Run this attempt.

    *ask*: call the probe first. *run*: whether the action may run if the probe finds no effect.
    *insist*: a probe that raises ends the attempt; otherwise the undo runs without its answer.
    """

    attempt: int
    ask: bool = False
    run: bool = True
    insist: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """The step is settled already: run nothing, and let the chain go on."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The message is void: run nothing, and end its chain."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The outcome is written and no attempt follows; *ended*: the saga has ended with it."""

    ended: bool = False


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The outcome is written; the next attempt follows after *wait_s* seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Fenced:
    """Nothing is written: the saga has moved on without this attempt."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An operator's command is written, or had taken effect before."""


@dataclass(frozen=True, slots=True)
class Declined:
    """An operator's command is not possible in this state; nothing is written."""

    reason: str


Answer = Granted | Done | Dropped | Recorded | RetryLater | Fenced | Accepted | Declined


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Publish a chain of these steps once the decision is committed."""

    operation: Operation
    steps: tuple[str, ...]
    countdown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step's new status, the columns that change with it, and the history entry's detail."""

    name: str
    operation: Operation
    attempt: int
    status: StepStatus
    values: StepColumns = field(default_factory=StepColumns)
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, what to publish, and what to answer.

    ``path`` lists the statuses that the saga passes through, in order; ``values`` are its other
    columns; ``note`` is a history entry that no status implies, and ``why`` an operator's reason;
    ``failing`` is what people are told about a step that keeps failing.
    """

    answer: Answer | None = None
    path: tuple[SagaStatus, ...] = ()
    raise_epoch: bool = False
    values: SagaColumns = field(default_factory=SagaColumns)
    steps: tuple[StepChange, ...] = ()
    note: Event | None = None
    why: str | None = None
    dispatch: Dispatch | None = None
    failing: Failing | None = None
