"""What the duties do to many sagas, alerts and workers at the same time, in every order."""

from itertools import combinations_with_replacement

from sqlalchemy import update

from sagas.record import alerts
from sagas.record import tables as t
from sagas.sql import before_now
from tests.races.arena import Arena
from tests.races.moves import (
    COMPENSATION,
    TIMING,
    Moves,
    expire,
    extend,
    heartbeat,
    leave,
    note,
    reserve_alert,
    reserve_sagas,
)
from tests.races.scenes import SCENES, WORKER
from tests.support.records import REFUSED, claims, concludes, insert_due


def test_no_saga_is_reserved_twice_and_none_is_forgotten(arena: Arena) -> None:
    ids = [insert_due(arena.store, f"T-{number}", due_in_s=-9 + number) for number in range(4)]
    claims(arena.store, ids[0], "flight", worker=WORKER, task_id="t-1")
    arena.store.database.write(lambda c: c.execute(update(t.saga).values(due_at=before_now(1))))
    arena.keep()
    moves = [
        reserve_sagas(2),
        reserve_sagas(10),
        extend(*((saga_id, 1) for saga_id in ids)),
        extend((ids[2], 1)),
    ]
    for one, other in combinations_with_replacement(moves, 2):
        arena.pair(one, other)


def test_an_alert_belongs_to_one_worker_at_a_time_and_no_delivery_note_is_lost(
    arena: Arena,
) -> None:
    saga_id = SCENES["parked"][0](arena.store)
    saga = arena.store.peek(saga_id)
    assert saga
    Moves(saga).retry().made(arena.store)
    claims(arena.store, saga_id, "flight", COMPENSATION)
    concludes(arena.store, saga_id, "flight", REFUSED, COMPENSATION)
    pending = arena.store.database.write(
        lambda c: alerts.reserve_alerts(c, limit=10, reservation_s=-1)
    )
    assert len(pending) == 2
    arena.keep()
    moves = [
        reserve_alert(1),
        reserve_alert(10),
        note(pending[0], "log", again_in_s=None),
        note(pending[1], "webhook", again_in_s=TIMING.lease_s),
    ]
    for one, other in combinations_with_replacement(moves, 2):
        arena.pair(one, other)


def test_a_worker_expires_once_or_lives(arena: Arena) -> None:
    SCENES["running"][0](arena.store)
    arena.keep()
    moves = [heartbeat(WORKER), expire(WORKER), leave(WORKER)]
    for one, other in combinations_with_replacement(moves, 2):
        arena.pair(one, other)
