"""Everything that is done to a saga in one transaction, as moves that can race."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from sagas import decision
from sagas.decision import Decision, Errored, Refused, Result, SagaState, Succeeded, Timing
from sagas.record import alerts, due, workers
from sagas.record.alerts import PendingAlert
from sagas.record.store import Committed, Store
from sagas.states import Operation
from tests.races.session import Move
from tests.support.states import RESOLVED

__all__ = [
    "ACTION",
    "COMPENSATION",
    "HOLDER",
    "TIMING",
    "Moves",
    "beat",
    "expire",
    "extend",
    "leave",
    "note",
    "take",
    "take_alert",
]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: The execution that holds a step when a race begins.
HOLDER = "holder"

#: So long that no wait ends while moves race.
TIMING = Timing(lease_s=1000.0, timer_s=2000.0, max_check_interval_s=4000.0)

_RESULTS: dict[str, Result] = {
    "succeeds": Succeeded('"done"'),
    "is refused": Refused({"type": "StepFailed", "message": "sold out"}),
    "breaks": Errored({"type": "OSError", "message": "no route"}),
}


class Moves:
    """What can be done to a saga by those who knew it as it was when the race began."""

    def __init__(self, saga: SagaState) -> None:
        self._saga = saga

    def claim(self, step: str, operation: Operation, token: str) -> Move:
        """Return what a message of the saga's epoch does."""

        def decide(saga: SagaState) -> Decision:
            return decision.claim(
                saga,
                step,
                operation,
                epoch=self._saga.epoch,
                token=token,
                holder={"hostname": token},
                timing=TIMING,
            )

        return self._transition(f"{token} claims the {operation} of {step}", decide)

    def conclude(
        self, how: str, step: str, operation: Operation, token: str = HOLDER, *, late: int = 0
    ) -> Move:
        """Return what an execution does that ends; *late*: its epoch was over before."""

        def decide(saga: SagaState) -> Decision:
            return decision.conclude(
                saga,
                step,
                operation,
                _RESULTS[how],
                epoch=self._saga.epoch - late,
                token=token,
                timing=TIMING,
                chance=0.5,
            )

        return self._transition(f"the {operation} of {step} {how}", decide)

    def sweep(self) -> Move:
        """Return what the sweep does that knows message and worker to be lost."""
        known = (self._saga.epoch, self._saga.sent_at)

        def decide(saga: SagaState) -> Decision:
            lost = (saga.epoch, saga.sent_at) == known
            return decision.advance(
                saga, alive=lambda _: False, lost=lost, timing=TIMING, chance=0.5
            )

        return self._transition("the sweep", decide)

    def turn_back(self) -> Move:
        """Return what the turn-back duty does when the saga's chain has ended."""

        def decide(saga: SagaState) -> Decision:
            lost = saga.epoch == self._saga.epoch
            return decision.advance(
                saga, alive=lambda _: True, lost=lost, timing=TIMING, chance=0.5
            )

        return self._transition("the turn-back duty", decide)

    def cancel(self) -> Move:
        """Return what a person does who cancels."""
        return self._operate(
            "cancel", lambda saga: decision.cancel(saga, reason="no more", timing=TIMING)
        )

    def retry(self) -> Move:
        """Return what a person does who has a parked saga tried again."""
        return self._operate("retry", lambda saga: decision.retry(saga, timing=TIMING))

    def skip(self, step: str) -> Move:
        """Return what a person does who skips a step."""
        return self._operate("skip", lambda saga: decision.skip(saga, step, timing=TIMING))

    def resolve(self, *, completed: bool | None) -> Move:
        """Return what a person does who ends a parked saga."""
        return self._operate(
            f"resolve as {completed}",
            lambda saga: decision.resolve(saga, completed=completed, resolved=RESOLVED),
        )

    def _operate(self, name: str, decide: Callable[[SagaState], Decision]) -> Move:
        return self._transition(name, lambda saga: replace(decide(saga), why=name))

    def _transition(self, name: str, decide: Callable[[SagaState], Decision]) -> Move:
        saga_id = self._saga.id

        def run(store: Store) -> Any:
            return _answer(store.transition(saga_id, decide, actor=name))

        return Move(name, run)

    def extend(self) -> Move:
        """Return what a worker does that has the saga's message in hand."""
        return extend((self._saga.id, self._saga.epoch))


def _answer(made: Committed | None) -> Any:
    assert made
    return made.decision.answer, made.decision.dispatch, made.status, made.epoch


def take(limit: int = 10) -> Move:
    """Return what a sweep does that takes what is due."""

    def run(connection: Connection) -> Any:
        return list(due.reserve_due(connection, limit=limit, reservation_s=TIMING.lease_s))

    return _written(f"take {limit} that are due", run, passes_over=True)


def extend(*messages: tuple[UUID, int]) -> Move:
    """Return what a worker does that has messages in hand."""
    return _written("extend", lambda c: due.extend(c, messages, extension_s=TIMING.lease_s))


def take_alert(limit: int = 10) -> Move:
    """Return what a worker does that is about to deliver alerts."""

    def run(connection: Connection) -> Any:
        taken = alerts.reserve_alerts(connection, limit=limit, reservation_s=TIMING.lease_s)
        return [(pending.id, sorted(pending.delivered_to)) for pending in taken]

    return _written(f"take {limit} alerts", run, passes_over=True)


def note(pending: PendingAlert, to: str, *, again_in_s: float | None) -> Move:
    """Return what a worker does that has delivered an alert."""

    def run(connection: Connection) -> Any:
        alerts.note_delivery(connection, pending, [to], again_in_s=again_in_s)

    return _written(f"note delivery to {to}", run)


def beat(worker: UUID) -> Move:
    """Return what a worker does that gives a sign of life."""
    sign = workers.Heartbeat(worker, "one@here", 1, {"celery": 1.0})
    return _written("beat", lambda c: workers.write_heartbeat(c, sign))


def expire(worker: UUID) -> Move:
    """Return what a worker does that finds another's lease over."""
    return _written("expire", lambda c: workers.expire(c, worker, TIMING.lease_s), hastens=True)


def leave(worker: UUID) -> Move:
    """Return what a worker does that stops."""
    return _written("leave", lambda c: workers.expire(c, worker, None))


def _written(name: str, work: Callable[[Connection], Any], **more: Any) -> Move:
    return Move(name, lambda store: store.database.write(work), **more)
