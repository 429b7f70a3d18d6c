"""Named fault points: the places between two commits where a process may die.

The engine calls ``reach`` at each of them, and nothing happens. Where the environment variable
``SAGAS_FAULTS`` names a directory, which only tests do, a fault is armed by a file in it called
``point@key`` or ``point@key@step``, with the saga's business key: the first process that gets
there removes the file and dies by SIGKILL, as if the operating system had killed it. A file that
says ``group`` takes the whole process group along: a worker's main process with all its pool.
"""

import os
import signal
from pathlib import Path

__all__ = ["POINTS", "reach"]

POINTS = (
    "start.committed",  # the saga is in the record, its chain is not published
    "start.published",  # its chain is published, the caller has no handle yet
    "action.claimed",  # the record says RUNNING, the action has not begun
    "action.entered",  # barrier and effect are in the participant's transaction, not committed
    "action.returned",  # the action's effect is committed, its outcome is not
    "action.recorded",  # the outcome is committed, the next link is not published
    "action.retried",  # UNKNOWN and the next attempt are committed, its message is not published
    "action.refused",  # FAILED or UNKNOWN is committed, the errback is not published
    "action.published",  # a message of the engine's own is out, Celery knows of no end
    "turn_back.recorded",  # the errback's decision is committed, its chain is not published
    "compensation.claimed",  # the record says COMPENSATING, the compensation has not begun
    "compensation.entered",  # as for the action
    "compensation.returned",  # its effect is committed, its end is not
    "compensation.recorded",  # its end is committed, the next link is not published
    "compensation.retried",  # the next attempt is committed, its message is not published
    "compensation.refused",  # its failure is committed, what goes on without it is not published
    "compensation.published",  # as for the action
    "sweep.taken",  # the saga is kept from the other sweeps, nothing is decided
    "sweep.recorded",  # the sweep's decision is committed, its chain is not published
    "operate.recorded",  # a person's command is committed, its chain is not published
    "alert.taken",  # the alert is kept from the other workers, nobody has it
    "alert.delivered",  # its receivers have the alert, which is not noted
)

_ARMED = os.environ.get("SAGAS_FAULTS")


def reach(point: str, key: str, step: str | None = None) -> None:
    """Die here if a test has armed this point for this saga; otherwise do nothing."""
    if _ARMED:
        if point not in POINTS:
            raise AssertionError(f"{point} is no fault point: give it a line in POINTS.")
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
