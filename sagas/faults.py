"""Named fault points: the places between two commits where a process may die.

The engine calls ``reach`` at each of them, and nothing happens. Where the environment variable
``SAGAS_FAULTS`` names a directory, which only tests do, a test arms a fault by a file in it called
``point@key`` or ``point@key@step``, with the saga's business key. The first process that gets
there removes the file and dies by SIGKILL, as if the operating system had killed it. A file that
says ``group`` takes the whole process group along: a worker's main process with all its pool.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["POINTS", "FaultPoint", "reach"]


@dataclass(frozen=True, slots=True)
class FaultPoint:
    """A place where a process may die; the crash table of the documentation is made of these.

    Attributes:
        name: what ``reach`` is called with.
        committed: what is committed, or sent, when the process dies here.
        lost: what is lost with it.
        closed_by: what makes up for the loss.
    """

    name: str
    committed: str
    lost: str
    closed_by: str


def _in_both(
    place: str, *, committed: str, lost: str, closed_by: str
) -> tuple[FaultPoint, FaultPoint]:
    """Return the fault point that an action and a compensation have alike."""
    return (
        FaultPoint(f"action.{place}", committed, lost, closed_by),
        FaultPoint(f"compensation.{place}", committed, lost, closed_by),
    )


_POINTS = (
    FaultPoint(
        "start.committed",
        committed="the saga",
        lost="its first message",
        closed_by="the sweep: the saga's row is its own outbox",
    ),
    FaultPoint(
        "start.published",
        committed="the saga and its first message",
        lost="the caller's handle",
        closed_by="the business key: a second start returns the same saga",
    ),
    *_in_both(
        "claimed",
        committed="the claim of a step",
        lost="the attempt, before it called the function",
        closed_by="the worker's lease (or its own sweep, if only a pool process died); then the "
        "next attempt, with the same idempotency key",
    ),
    *_in_both(
        "entered",
        committed="the claim of a step",
        lost="the participant's open transaction: the barrier's row and the effect",
        closed_by="the participant's database, which rolls back; then the next attempt",
    ),
    *_in_both(
        "returned",
        committed="the effect",
        lost="its outcome",
        closed_by="the next attempt, with the same key; the barrier makes the effect happen once",
    ),
    *_in_both(
        "recorded",
        committed="the outcome",
        lost="the next message of the chain",
        closed_by="Celery's errback for the lost process, or the sweep",
    ),
    *_in_both(
        "retried",
        committed="the outcome of an attempt and the time of the next one",
        lost="the message for the next attempt",
        closed_by="the sweep",
    ),
    *_in_both(
        "refused",
        committed="the failure of a step",
        lost="the errback, which turns the saga back or goes on without the step",
        closed_by="the sweep: it finds a saga that has failed and is not turning back",
    ),
    *_in_both(
        "published",
        committed="an outcome and the engine's own next message",
        lost="the end of the task, which Celery never hears of",
        closed_by="the epoch and the claim: Celery's errback for the lost process finds "
        "that the saga has moved on",
    ),
    FaultPoint(
        "turn_back.recorded",
        committed="the errback's decision",
        lost="its messages",
        closed_by="the sweep",
    ),
    FaultPoint(
        "sweep.reserved",
        committed="a sweep's reservation of a saga that is due",
        lost="the decision",
        closed_by="another sweep, once the reservation has run out",
    ),
    FaultPoint(
        "sweep.recorded",
        committed="the sweep's decision",
        lost="its messages",
        closed_by="another sweep",
    ),
    FaultPoint(
        "operate.recorded",
        committed="an operator's command",
        lost="its messages",
        closed_by="the sweep",
    ),
    FaultPoint(
        "alert.reserved",
        committed="a worker's reservation of an alert",
        lost="the delivery",
        closed_by="another worker, once the reservation of two minutes has run out",
    ),
    FaultPoint(
        "alert.delivered",
        committed="the delivery of an alert",
        lost="the note of it",
        closed_by="another worker, which delivers it again",
    ),
)

#: Every fault point, by its name.
POINTS: Mapping[str, FaultPoint] = {point.name: point for point in _POINTS}

_ARMED = os.environ.get("SAGAS_FAULTS")


def reach(point: str, key: str, step: str | None = None) -> None:
    """Die here if a test has armed this point for this saga; otherwise do nothing."""
    if _ARMED:
        if point not in POINTS:
            raise AssertionError(f"{point} is no fault point: add it to sagas.faults.POINTS.")
        _die_if_armed(Path(_ARMED) / "@".join(filter(None, (point, key, step))))


def _die_if_armed(fault: Path) -> None:
    try:
        victim = fault.read_text()
        fault.unlink()  # one process alone can do this
    except FileNotFoundError:
        return
    if victim == "group":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
