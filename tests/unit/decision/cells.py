"""The meaning of each word in the tables, for the steps a, b and c."""

from dataclasses import dataclass

from sagas.decision import (
    Accepted,
    Answer,
    Declined,
    Done,
    Dropped,
    Fenced,
    Granted,
    Recorded,
    RetryLater,
)
from sagas.states import Operation, SagaStatus
from tests.support.states import ACTION, COMPENSATION

__all__ = ["MEANS", "Cell"]


@dataclass(frozen=True)
class Cell:
    """A decision without its reasons and without the columns that it writes."""

    answer: Answer | None = None
    path: tuple[str, ...] = ()
    raise_epoch: bool = False
    dispatch: tuple[Operation, str] | None = None
    step: str | None = None
    note: str | None = None
    writes: bool = True


def sent(
    operation: Operation,
    steps: str,
    note: str | None,
    answer: Answer | None = None,
    step: str | None = None,
) -> Cell:
    return Cell(answer, raise_epoch=True, dispatch=(operation, steps), step=step, note=note)


def turned(steps: str, answer: Answer | None = None, note: str | None = None) -> Cell:
    dispatch = (COMPENSATION, steps)
    return Cell(answer, (SagaStatus.COMPENSATING,), raise_epoch=True, dispatch=dispatch, note=note)


def unparked(operation: Operation, steps: str, step: str, note: str) -> Cell:
    path = SagaStatus.IN_PROGRESS if operation is ACTION else SagaStatus.COMPENSATING
    dispatch = (operation, steps)
    return Cell(Accepted(), (path,), raise_epoch=True, dispatch=dispatch, step=step, note=note)


def ended(*path: SagaStatus, note: str, step: str | None = None) -> Cell:
    return Cell(Accepted(), path, raise_epoch=True, step=step, note=note)


def again(operation: Operation, steps: str, step: str, note: str | None = None) -> Cell:
    return sent(operation, steps, note, RetryLater(1.0), step)


MEANS: dict[str, Cell] = {
    # A message.
    "begins": Cell(Granted(1), path=(SagaStatus.IN_PROGRESS,), step="b RUNNING"),
    "runs": Cell(Granted(1), step="b RUNNING"),
    "repeats": Cell(Granted(2), step="b RUNNING"),
    "undoes": Cell(Granted(1), step="b COMPENSATING"),
    "undoes again": Cell(Granted(2), step="b COMPENSATING"),
    "done": Cell(Done(), writes=False),
    "void": Cell(Dropped("…"), writes=False),
    # The end of an attempt. Celery publishes the next link, so nothing is dispatched.
    "goes on": Cell(Recorded(), step="b SUCCESS"),
    "refused": Cell(Recorded(), step="b FAILED"),
    "in doubt": Cell(Recorded(), step="b UNKNOWN"),
    "again": again(ACTION, "bc", "b UNKNOWN"),
    "later": sent(ACTION, "bc", None, RetryLater(1.0), "b PENDING"),
    "undone": Cell(Recorded(), step="b COMPENSATED"),
    "left": Cell(Recorded(), step="b COMPENSATION_FAILED"),
    "undo again": again(COMPENSATION, "ba", "b COMPENSATING"),
    "fenced": Cell(Fenced(), writes=False),
    "known": Cell(Recorded(), writes=False),
    "ended": Cell(Recorded(ended=True), writes=False),
    # The sweep.
    "rest": Cell(),  # it is no longer due
    "check later": Cell(),
    "sent": sent(ACTION, "bc", "sent"),
    "send bc": sent(ACTION, "bc", "sent again"),
    "send c": sent(ACTION, "c", "sent again"),
    "retry": again(ACTION, "bc", "b UNKNOWN", "taken over"),
    "undo ba": sent(COMPENSATION, "ba", "sent again"),
    "undo a": sent(COMPENSATION, "a", "sent again"),
    "retry undo": again(COMPENSATION, "ba", "b COMPENSATING", "taken over"),
    "turn to a": turned("a"),
    "turn to ba": turned("ba"),
    # A person.
    "declined": Cell(Declined("…"), writes=False),
    "already": Cell(Accepted(), writes=False),
    "wait": Cell(Accepted(), note="cancel requested"),
    "cancel a": turned("a", Accepted(), "cancelled"),
    "cancel ba": turned("ba", Accepted(), "cancelled"),
    "try bc": unparked(ACTION, "bc", "b PENDING", "retried"),
    "ask bc": unparked(ACTION, "bc", "b UNKNOWN", "retried"),
    "try c": unparked(ACTION, "c", "c PENDING", "retried"),
    "try undo a": unparked(COMPENSATION, "a", "a COMPENSATING", "retried"),
    "try undo b": unparked(COMPENSATION, "b", "b COMPENSATING", "retried"),
    "on to c": unparked(ACTION, "c", "b SKIPPED", "skipped by operator"),
    "over": ended(
        SagaStatus.COMPENSATING,
        SagaStatus.COMPENSATED,
        step="b SKIPPED",
        note="skipped by operator",
    ),
    "completed": ended(SagaStatus.COMPLETED, note="resolved"),
    "compensated": ended(SagaStatus.COMPENSATED, note="resolved"),
}
