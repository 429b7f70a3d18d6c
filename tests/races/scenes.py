"""The states of a saga in which transactions race for it, and the moves that race."""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import insert, update

from sagas.decision import Decision, SagaState, Succeeded, cancel
from sagas.ids import uuid7
from sagas.plan import PlannedStep
from sagas.record import tables as t
from sagas.record.store import Store
from sagas.sql import before_now
from tests.races.moves import (
    ACTION,
    COMPENSATION,
    HOLDER,
    TIMING,
    Moves,
    expire,
    reserve_alert,
    reserve_sagas,
)
from tests.races.session import Move
from tests.support.records import ERRORED, REFUSED, claims, concludes, move, started
from tests.support.states import planned

__all__ = ["SCENES", "WORKER", "Scene"]

WORKER = uuid7()

_WAIT_S = 1000
_TRIP = (planned("flight", wait=_WAIT_S), planned("hotel", wait=_WAIT_S))
_BEYOND = (planned("pay", undo=False, pivot=True), planned("mail", undo=False))

#: How a saga gets into a state, and what can be done to it there.
Scene = tuple[Callable[[Store], UUID], Callable[[Moves], Sequence[Move]]]


def _started(store: Store, steps: Sequence[PlannedStep] = _TRIP) -> UUID:
    return _overdue(store, started(store, steps=steps))


def _overdue(store: Store, saga_id: UUID) -> UUID:
    """Make the saga due for the sweep."""
    of_saga = update(t.saga).where(t.saga.c.id == saga_id, t.saga.c.due_at.is_not(None))
    store.database.write(lambda c: c.execute(of_saga.values(due_at=before_now(1))))
    return saga_id


def _past_deadline(store: Store) -> UUID:
    saga_id = _started(store)
    store.database.write(lambda c: c.execute(update(t.saga).values(deadline_at=before_now(1))))
    return saga_id


def _running(store: Store) -> UUID:
    """Let a worker claim the first step and then fall silent."""
    saga_id = _started(store)
    silent = before_now(2 * TIMING.lease_s)
    row = {"id": WORKER, "hostname": "one@here", "pid": 1, "seen": {}, "queues": {}, "withheld": {}}
    worker = insert(t.worker).values(**row, started_at=silent, heartbeat_at=silent)
    store.database.write(lambda c: c.execute(worker))
    claims(store, saga_id, "flight", token=HOLDER, worker=WORKER, task_id="t-1")
    return _overdue(store, saga_id)


def _waiting(store: Store) -> UUID:
    saga_id = _running(store)
    concludes(store, saga_id, "flight", ERRORED, token=HOLDER)
    return saga_id


def _cancelled(store: Store) -> UUID:
    saga_id = _running(store)

    def decide(saga: SagaState) -> Decision:
        return cancel(saga, reason="no more", timing=TIMING)

    store.transition(saga_id, decide, actor="a person")
    return saga_id


def _at_last_step(store: Store) -> UUID:
    """Let the last attempt of the last step run, after one that errored."""
    saga_id = _waiting(store)
    for step, result in (("flight", Succeeded()), ("hotel", ERRORED)):
        claims(store, saga_id, step, token=HOLDER)
        concludes(store, saga_id, step, result, token=HOLDER)
    claims(store, saga_id, "hotel", token=HOLDER)
    return _overdue(store, saga_id)


def _refused(store: Store) -> UUID:
    saga_id = _running(store)
    concludes(store, saga_id, "flight", Succeeded(), token=HOLDER)
    claims(store, saga_id, "hotel", token=HOLDER)
    concludes(store, saga_id, "hotel", REFUSED, token=HOLDER)
    return _overdue(store, saga_id)


def _undoing(store: Store) -> UUID:
    saga_id = _refused(store)
    move(store, saga_id)
    return _overdue(store, saga_id)


def _undo_running(store: Store) -> UUID:
    saga_id = _undoing(store)
    claims(store, saga_id, "flight", COMPENSATION, token=HOLDER)
    return _overdue(store, saga_id)


def _parked(store: Store) -> UUID:
    """Let a compensation fail for good."""
    saga_id = _undo_running(store)
    concludes(store, saga_id, "flight", REFUSED, COMPENSATION, token=HOLDER)
    return saga_id


def _parked_beyond(store: Store) -> UUID:
    """Let a step fail for good beyond the pivot."""
    saga_id = _started(store, _BEYOND)
    claims(store, saga_id, "pay", token=HOLDER)
    concludes(store, saga_id, "pay", Succeeded(), token=HOLDER)
    claims(store, saga_id, "mail", token=HOLDER)
    concludes(store, saga_id, "mail", REFUSED, token=HOLDER)
    move(store, saga_id)
    return saga_id


SCENES: dict[str, Scene] = {
    "started": (
        _started,
        lambda of: [
            of.claim("flight", ACTION, "one"),
            of.claim("flight", ACTION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
            of.extend(),
            reserve_sagas(),
        ],
    ),
    "past its deadline": (
        _past_deadline,
        lambda of: [of.claim("flight", ACTION, "one"), of.sweep(), of.cancel(), of.extend()],
    ),
    "running": (
        _running,
        lambda of: [
            of.conclude("succeeds", "flight", ACTION),
            of.conclude("is refused", "flight", ACTION),
            of.conclude("errors", "flight", ACTION),
            of.claim("flight", ACTION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
            expire(WORKER),
            reserve_sagas(),
        ],
    ),
    "waiting for a retry": (
        _waiting,
        lambda of: [
            of.conclude("succeeds", "flight", ACTION, late=1),
            of.claim("flight", ACTION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
        ],
    ),
    "turning back once its step has ended": (
        _cancelled,
        lambda of: [
            of.conclude("succeeds", "flight", ACTION),
            of.conclude("is refused", "flight", ACTION),
            of.claim("flight", ACTION, "other"),
            of.sweep(),
            of.cancel(),
        ],
    ),
    "at its last step": (
        _at_last_step,
        lambda of: [
            of.conclude("succeeds", "hotel", ACTION),
            of.conclude("errors", "hotel", ACTION),
            of.sweep(),
            of.cancel(),
            reserve_sagas(),
        ],
    ),
    "refused": (
        _refused,
        lambda of: [
            of.claim("hotel", ACTION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
        ],
    ),
    "compensating": (
        _undoing,
        lambda of: [
            of.claim("flight", COMPENSATION, "one"),
            of.claim("flight", COMPENSATION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
            of.extend(),
        ],
    ),
    "undoing": (
        _undo_running,
        lambda of: [
            of.conclude("succeeds", "flight", COMPENSATION),
            of.conclude("is refused", "flight", COMPENSATION),
            of.conclude("errors", "flight", COMPENSATION),
            of.claim("flight", COMPENSATION, "other"),
            of.sweep(),
            of.turn_back(),
            of.cancel(),
        ],
    ),
    "parked": (
        _parked,
        lambda of: [
            of.retry(),
            of.skip("flight"),
            of.resolve(completed=None),
            of.resolve(completed=True),
            of.cancel(),
            of.sweep(),
            of.conclude("succeeds", "flight", COMPENSATION),
            reserve_alert(),
        ],
    ),
    "parked beyond its pivot": (
        _parked_beyond,
        lambda of: [
            of.retry(),
            of.skip("mail"),
            of.resolve(completed=None),
            of.cancel(),
            of.turn_back(),
        ],
    ),
}
