"""Everything that can be done to a saga in one transaction, as moves that can race."""

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
    "expire",
    "extend",
    "heartbeat",
    "leave",
    "note",
    "reserve_alert",
    "reserve_sagas",
]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: The execution that holds a step when a race begins.
HOLDER = "holder"

#: Long enough that no wait ends while moves race.
TIMING = Timing(lease_s=1000.0, timer_s=2000.0, max_check_interval_s=4000.0)

_RESULTS: dict[str, Result] = {
    "succeeds": Succeeded('"done"'),
    "is refused": Refused({"type": "StepFailed", "message": "sold out"}),
    "errors": Errored({"type": "OSError", "message": "no route"}),
}


class Moves:
    """The moves of those who know the saga as it was when the race began."""

    def __init__(self, saga: SagaState) -> None:
        self._saga = saga

    def claim(self, step: str, operation: Operation, token: str) -> Move:
        """Return the claim of a message of the saga's epoch."""

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
        """Return the end of an execution; *late*: the number of epochs since its own."""

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
        """Return a sweep that knows that the message and the worker are lost."""
        known = (self._saga.epoch, self._saga.sent_at)

        def decide(saga: SagaState) -> Decision:
            lost = (saga.epoch, saga.sent_at) == known
            return decision.advance(
                saga, alive=lambda _: False, lost=lost, timing=TIMING, chance=0.5
            )

        return self._transition("the sweep", decide)

    def turn_back(self) -> Move:
        """Return the turn-back task, which runs when the saga's chain has ended."""

        def decide(saga: SagaState) -> Decision:
            lost = saga.epoch == self._saga.epoch
            return decision.advance(
                saga, alive=lambda _: True, lost=lost, timing=TIMING, chance=0.5
            )

        return self._transition("the turn-back task", decide)

    def cancel(self) -> Move:
        """Return a person's cancel."""
        return self._operate(
            "cancel", lambda saga: decision.cancel(saga, reason="no more", timing=TIMING)
        )

    def retry(self) -> Move:
        """Return a person's retry of a parked saga."""
        return self._operate("retry", lambda saga: decision.retry(saga, timing=TIMING))

    def skip(self, step: str) -> Move:
        """Return a person's skip of a step."""
        return self._operate("skip", lambda saga: decision.skip(saga, step, timing=TIMING))

    def resolve(self, *, completed: bool | None) -> Move:
        """Return a person's resolution of a parked saga."""
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
        """Return the extension by a worker that has the saga's message in flight."""
        return extend((self._saga.id, self._saga.epoch))


def _answer(made: Committed | None) -> Any:
    assert made
    return made.decision.answer, made.decision.dispatch, made.status, made.epoch


def reserve_sagas(limit: int = 10) -> Move:
    """Return the reservation by a sweep of the sagas that are due."""

    def run(connection: Connection) -> Any:
        return list(due.reserve_due(connection, limit=limit, reservation_s=TIMING.lease_s))

    return _written(f"reserve {limit} that are due", run, passes_over=True)


def extend(*messages: tuple[UUID, int]) -> Move:
    """Return the extension by a worker that has these messages in flight."""
    return _written("extend", lambda c: due.extend(c, messages, extension_s=TIMING.lease_s))


def reserve_alert(limit: int = 10) -> Move:
    """Return the reservation by a worker that is about to deliver alerts."""

    def run(connection: Connection) -> Any:
        taken = alerts.reserve_alerts(connection, limit=limit, reservation_s=TIMING.lease_s)
        return [(pending.id, sorted(pending.delivered_to)) for pending in taken]

    return _written(f"reserve {limit} alerts", run, passes_over=True)


def note(pending: PendingAlert, to: str, *, again_in_s: float | None) -> Move:
    """Return the note of a worker that has delivered an alert."""

    def run(connection: Connection) -> Any:
        alerts.note_delivery(connection, pending, [to], again_in_s=again_in_s)

    return _written(f"note delivery to {to}", run)


def heartbeat(worker: UUID) -> Move:
    """Return a worker's heartbeat."""
    sign = workers.Heartbeat(worker, "one@here", 1, {"celery": 1.0})
    return _written("heartbeat", lambda c: workers.write_heartbeat(c, sign))


def expire(worker: UUID) -> Move:
    """Return the expiry of a worker whose lease is over."""
    return _written("expire", lambda c: workers.expire(c, worker, TIMING.lease_s), hastens=True)


def leave(worker: UUID) -> Move:
    """Return the departure of a worker that stops."""
    return _written("leave", lambda c: workers.expire(c, worker, None))


def _written(name: str, work: Callable[[Connection], Any], **more: Any) -> Move:
    return Move(name, lambda store: store.database.write(work), **more)
