"""Sagas in every state that the decision tests need, at one moment."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sagas.decision import (
    AttemptError,
    Decision,
    Entry,
    Resolved,
    SagaColumns,
    SagaState,
    StepState,
    Timing,
    transition,
)
from sagas.plan import Plan, PlannedCall, PlannedStep
from sagas.retry import Retry
from sagas.states import Operation, SagaStatus, StepStatus

__all__ = [
    "ACTION",
    "COMPENSATION",
    "ENDED_NOW",
    "EPOCH",
    "ERROR",
    "NOW",
    "RESOLVED",
    "TIMING",
    "TOKEN",
    "after",
    "call",
    "calls",
    "entries",
    "folded",
    "held",
    "made",
    "planned",
    "present",
    "saga_at",
    "seconds",
]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = 7
#: The execution that holds a step, if there is one.
TOKEN = "holder"  # noqa: S105 - it names an execution
#: The columns of a saga that has just ended.
ENDED_NOW: SagaColumns = {"due_at": None, "sent_at": None, "deadline_at": None, "ended_at": NOW}
TIMING = Timing(lease_s=3.0, timer_s=2.0, max_check_interval_s=60.0)


ERROR: AttemptError = {"type": "E", "message": "…"}
RESOLVED: Resolved = {"by": "kim", "note": "…", "at": NOW.isoformat()}

T = TypeVar("T")


def after(saga: SagaState, decision: Decision) -> SagaState:
    """Return the saga after the decision is applied."""
    return transition(saga, lambda _: decision).after


def folded(saga: SagaState, decision: Decision) -> Decision:
    """Return the decision with the rules that apply to every decision."""
    return transition(saga, lambda _: decision).decision


def entries(saga: SagaState, decision: Decision) -> list[Entry]:
    """Return the history entries of a decision."""
    return list(transition(saga, lambda _: decision).entries)


def present(value: T | None) -> T:
    """Return a value that must be present."""
    assert value is not None
    return value


def seconds(number: float) -> datetime:
    """Return the time this many seconds from now."""
    return NOW + timedelta(seconds=number)


def call(
    task: str,
    *,
    attempts: int = 2,
    losses: int = 2,
    postponed: float = 60.0,
    wait: float = 1.0,
    timeout: float | None = None,
) -> PlannedCall:
    """Plan a call with this many attempts and losses; its waits are equal and have no jitter."""
    retry = Retry(
        max_attempts=attempts,
        wait_initial=wait,
        wait_exp_base=1,
        wait_jitter=0,
        max_losses=losses,
        max_postponed=postponed,
    )
    return PlannedCall(task, None, retry, timeout)


def planned(
    name: str,
    *,
    undo: bool = True,
    attempts: int = 2,
    undo_attempts: int = 2,
    losses: int = 2,
    postponed: float = 60.0,
    wait: float = 1.0,
    timeout: float | None = None,
    **kinds: bool,
) -> PlannedStep:
    """Plan a step."""
    options: dict[str, Any] = {
        "losses": losses,
        "postponed": postponed,
        "wait": wait,
        "timeout": timeout,
    }
    compensation = call(f"{name}.undo", attempts=undo_attempts, **options)
    action = call(name, attempts=attempts, **options)
    undoing = compensation if undo else None
    return PlannedStep(name, action, undoing, **kinds)


def made(
    status: StepStatus | str, *, waits: bool = False, attempts: int = 1, **more: Any
) -> dict[str, Any]:
    """Describe a step that got this far; *waits* means that its next attempt is due in a second."""
    undoing = status in (
        StepStatus.COMPENSATING,
        StepStatus.COMPENSATED,
        StepStatus.COMPENSATION_FAILED,
    )
    never = status in (StepStatus.PENDING, StepStatus.SKIPPED)
    return {
        "status": StepStatus(status),
        "attempt": 0 if never else 1 if undoing else attempts,
        "compensation_attempt": attempts if undoing else 0,
        "claim": None if never or waits else TOKEN,
        "retry_at": seconds(1) if waits else None,
        **more,
    }


def held(operation: Operation, *, attempts: int = 1, **more: Any) -> dict[str, Any]:
    """Describe a step that an execution holds."""
    running = StepStatus.RUNNING if operation is ACTION else StepStatus.COMPENSATING
    return made(running, attempts=attempts, **more)


def saga_at(
    status: SagaStatus | str,
    plan: Iterable[PlannedStep],
    steps: dict[str, dict[str, Any]] | None = None,
    **more: Any,
) -> SagaState:
    """Return a saga; a step that is missing from *steps* was never claimed."""
    described: dict[str, Any] = {
        "id": UUID(int=1),
        "name": "trip",
        "key": "T-1",
        "status": SagaStatus(status),
        "epoch": EPOCH,
        "plan": Plan("trip", tuple(plan)),
        "steps": {name: StepState(name, **values) for name, values in (steps or {}).items()},
        "now": NOW,
        "sent_at": NOW,
        **more,
    }
    return SagaState(**described)


def calls(names: str) -> tuple[str, ...]:
    """Return the steps of a dispatch, whose one-letter names are written in a row."""
    return tuple(names)
