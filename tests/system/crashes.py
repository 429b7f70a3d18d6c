"""The crash-point matrix: the trip that reaches each point, and how it still ends.

Every fault point of the engine has a row, and each row is one trip whose process dies there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sagas.states import SagaStatus

__all__ = [
    "BY_MAIN",
    "BY_POOL",
    "CANCELLED",
    "GROUP",
    "OPERATED",
    "PROCESS",
    "STARTED",
    "TWICE",
    "Death",
    "Row",
]

COMPLETED, COMPENSATED = SagaStatus.COMPLETED, SagaStatus.COMPENSATED
PARKED = SagaStatus.FAILED
PROCESS, GROUP = "process", "group"


@dataclass(frozen=True, slots=True)
class Row:
    """One trip, and the point at which its process dies."""

    point: str
    step: str | None = None
    ends: SagaStatus = COMPLETED
    saga: str = "trip"
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the row in failure messages."""
        return "-".join(filter(None, (self.point, self.step, self.saga)))


@dataclass(frozen=True, slots=True)
class Death:
    """The victim at a row's point, a process or its worker's whole group, and the next victim."""

    row: Row
    victim: str
    then: tuple[str, str] | None = None


def _undone(point: str, step: str | None, ends: SagaStatus = COMPENSATED, **given: str) -> Row:
    return Row(point, step, ends, given={"refuse": "car", **given})


#: A process of a worker's pool dies.
BY_POOL = [
    Row("action.claimed", "hotel"),
    Row("action.entered", "hotel"),
    Row("action.returned", "hotel"),
    Row("action.returned", "car"),
    Row("action.recorded", "hotel"),
    Row("action.recorded", "car"),  # the trip ends with this
    Row("action.recorded", "leg-16", saga="odyssey"),  # the engine sends the next part of the chain
    Row("action.retried", "hotel", given={"breaks_while_armed": "hotel"}),
    Row("action.retried", "hotel", saga="calm", given={"breaks_while_armed": "hotel"}),
    Row("action.refused", "car", COMPENSATED, given={"refuse": "car"}),
    Row("action.refused", "thanks", PARKED, saga="errands", given={"refuse": "thanks"}),
    Row("action.published", "hotel", given={"breaks_while_armed": "hotel"}),
    Row("action.published", "leg-16", saga="odyssey"),
    _undone("turn_back.recorded", None),
    _undone("compensation.claimed", "hotel"),
    _undone("compensation.entered", "hotel"),
    _undone("compensation.returned", "hotel"),
    _undone("compensation.returned", "flight"),
    _undone("compensation.recorded", "hotel"),
    _undone("compensation.recorded", "flight"),
    Row("compensation.recorded", "leg-2", COMPENSATED, "odyssey", {"refuse": "leg-18"}),
    _undone("compensation.retried", "hotel", undo_breaks_while_armed="hotel"),
    _undone("compensation.refused", "hotel", PARKED, undo_refused="hotel"),
    _undone("compensation.refused", "flight", PARKED, undo_refused="flight"),
    _undone("compensation.published", "hotel", undo_breaks_while_armed="hotel"),
    Row("compensation.published", "leg-2", COMPENSATED, "odyssey", {"refuse": "leg-18"}),
]

#: A worker's main process dies while it handles a trip that only the sweep sends, or an alert.
BY_MAIN = [
    Row("sweep.reserved"),
    Row("sweep.recorded"),
    _undone("alert.reserved", None, PARKED, undo_refused="hotel"),
    _undone("alert.delivered", None, PARKED, undo_refused="hotel"),
]


#: Two victims die in quick succession, the second while it takes over from the first. A lost child
#: is noticed by its own main process within a sweep, a dead worker by another worker.
TWICE = [
    Death(Row("action.claimed", "hotel"), PROCESS, ("sweep.recorded", GROUP)),
    Death(Row("action.returned", "hotel"), PROCESS, ("sweep.recorded", PROCESS)),
    Death(Row("action.returned", "hotel"), PROCESS, ("sweep.recorded", GROUP)),
    Death(Row("action.recorded", "hotel"), PROCESS, ("turn_back.recorded", PROCESS)),
    Death(Row("action.returned", "hotel"), GROUP, ("sweep.reserved", GROUP)),
    Death(_undone("action.refused", "car"), GROUP, ("sweep.recorded", GROUP)),
    Death(_undone("turn_back.recorded", None), GROUP, ("sweep.reserved", PROCESS)),
    Death(_undone("compensation.returned", "hotel"), PROCESS, ("sweep.recorded", GROUP)),
]

#: An application dies that starts trips in one of the possible ways.
STARTED = {
    "start": Row("start.committed"),
    "start_many": Row("start.committed"),
    "start_in_transaction": Row("start.committed"),
    "start again": Row("start.published"),
}

#: An operator's process dies: the command, what the trip waits for, and how the trip ends.
OPERATED = {
    "cancel": Row("operate.recorded", None, COMPENSATED, "patient", {"breaks": "hotel"}),
    "retry": Row("operate.recorded", None, COMPLETED, "tour"),
    "skip": Row("operate.recorded", None, COMPLETED, "trek", {"breaks": "insurance"}),
}

#: The trip is cancelled while this step runs, so it turns back when the step ends.
CANCELLED = Row("action.recorded", "hotel", COMPENSATED)
