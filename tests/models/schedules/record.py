"""The record of one saga as plain values: what the store does, without SQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sagas.decision import (
    Decide,
    Entry,
    SagaState,
    StepState,
    Timing,
    Transition,
    transition,
    turn_of,
)
from sagas.events import Event
from sagas.plan import Plan
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.prediction import check_prediction

__all__ = ["START", "TIMING", "Record"]

START = datetime(2026, 3, 1, tzinfo=UTC)
TIMING = Timing(lease_s=3.0, timer_s=2.0, max_check_interval_s=60.0)


class Record:
    """One saga, written as the store writes it; ``now`` is the database's clock."""

    def __init__(
        self, plan: Plan, skipped: tuple[str, ...], *, delay_s: float = 0.0, number: int = 1
    ) -> None:
        self.now = START
        deadline_s = plan.deadline_s
        self.saga = SagaState(
            id=UUID(int=number),
            name=plan.name,
            key=f"S-{number}",
            status=SagaStatus.STARTED,
            epoch=1,
            plan=plan,
            steps={name: StepState(name, StepStatus.SKIPPED) for name in skipped},
            now=START,
            sent_at=None if delay_s else START,
            deadline_at=None if deadline_s is None else self._after(delay_s + deadline_s),
        )
        self.due_at: datetime | None = self._after(delay_s or TIMING.lease_s)
        self.saga = replace(self.saga, turn=turn_of(self.saga))
        self.alerts: list[tuple[str, int]] = []
        self.history = [("starter", Entry(START, 1, Event.STARTED))]
        self.history += [
            ("starter", Entry(START, 1, Event.SKIPPED, name, Operation.ACTION)) for name in skipped
        ]

    def _after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def transition(
        self, decide: Decide, actor: str, predicted: SagaState | None = None
    ) -> Transition:
        """Write what is decided, and refuse what the store would refuse."""
        before = self.saga if self.saga.now is self.now else replace(self.saga, now=self.now)
        if predicted is not None:
            check_prediction(predicted, before, decide)
        made = transition(before, decide)
        self.saga = made.after
        self.history += [(actor, entry) for entry in made.entries]
        if made.alert:
            self.alerts.append((made.alert, made.after.epoch))
        self.due_at = made.decision.values.get("due_at", self.due_at)
        return made

    @property
    def parked_at(self) -> list[int]:
        """The epochs of the alerts that the saga is parked."""
        return [epoch for kind, epoch in self.alerts if kind == "parked"]

    def peek(self) -> SagaState:
        """Return the saga as it is now."""
        return replace(self.saga, now=self.now)

    def reserve_due(self, reservation_s: float) -> bool:
        """Reserve the saga if it is due, which keeps it from others for a while."""
        if self.due_at is None or self.due_at > self.now:
            return False
        self.due_at = self._after(reservation_s)
        return True

    def extend(self, epoch: int, reservation_s: float) -> None:
        """Put the saga off, because a living worker has its message of that epoch."""
        saga, due_at = self.saga, self.due_at
        if epoch != saga.epoch or saga.sent_at is None or due_at is None:
            return
        if saga.deadline_at is not None and saga.deadline_at <= self._after(reservation_s):
            return
        if due_at < self._after(reservation_s / 2):
            self.due_at = self._after(reservation_s)
