"""Which sagas are due, and who takes them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import text, update

from sagas.decision import Granted, Succeeded
from sagas.record import due
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.sql import after_now
from tests.support.records import (
    claims,
    concludes,
    insert_due,
    saga_row,
    started,
    turned_back,
)
from tests.support.waiting import HANG_S

#: The unit of every moment here: no test takes so long that one passes which is to come.
HOUR_S = 3600.0


def take(database: Database, limit: int = 100, reservation_s: float = HOUR_S) -> Sequence[UUID]:
    return database.write(lambda c: due.reserve_due(c, limit=limit, reservation_s=reservation_s))


def test_a_saga_is_due_from_its_moment_on(store: Store) -> None:
    insert_due(store, "later", due_in_s=HOUR_S)
    assert not store.database.read(due.any_due)
    assert take(store.database) == []
    now = insert_due(store, "now", due_in_s=-0.1)
    assert store.database.read(due.any_due)
    assert take(store.database) == [now]


def test_a_saga_that_has_ended_is_never_due(store: Store) -> None:
    turned_back(store)
    assert not store.database.read(due.any_due)
    assert take(store.database) == []


def test_half_of_a_batch_are_those_overdue_the_longest_and_half_those_that_became_due_last(
    store: Store,
) -> None:
    ids = {n: insert_due(store, f"T-{n}", due_in_s=-n * HOUR_S) for n in range(1, 9)}
    assert take(store.database, limit=3) == [ids[8], ids[7], ids[1]]
    assert take(store.database, limit=1) == [ids[6]]
    assert take(store.database, limit=9) == [ids[n] for n in (5, 4, 3, 2)]


def test_those_that_could_not_be_moved_on_before_are_taken_by_themselves(store: Store) -> None:
    stumbled = insert_due(store, "T-1", due_in_s=-99, failed_sweeps=1)
    other = insert_due(store, "T-2")
    assert take(store.database) == [other]
    assert store.database.read(due.any_due)
    taken = store.database.write(
        lambda c: due.reserve_due(c, limit=9, reservation_s=HOUR_S, failing=True)
    )
    assert taken == [stumbled]


def test_what_was_taken_is_kept_from_others_for_a_while_and_then_due_again(store: Store) -> None:
    saga_id = insert_due(store, "T-1")
    assert take(store.database, reservation_s=HOUR_S) == [saga_id]
    assert take(store.database) == []
    row = saga_row(store.database, saga_id)
    state = store.peek(saga_id)
    assert state
    assert timedelta(hours=0.5) < row.due_at - state.now <= timedelta(hours=1)
    taken = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(lambda c: c.execute(taken.values(due_at=row.due_at - timedelta(hours=2))))
    assert take(store.database) == [saga_id]


def test_a_full_batch_that_nobody_can_help_does_not_stand_before_the_rest(store: Store) -> None:
    hopeless = {insert_due(store, f"T-{number}", due_in_s=-99) for number in range(9)}
    rest = insert_due(store, "the rest")
    assert rest in take(store.database, limit=5)
    assert set(take(store.database, limit=5)) < hopeless


def test_takers_of_one_moment_get_different_sagas(store: Store, database_url: str) -> None:
    ids = {insert_due(store, f"T-{number}") for number in range(30)}
    together = Barrier(3)

    def take_ten(_: int) -> Sequence[UUID]:
        database = Database(database_url)
        together.wait(timeout=HANG_S)
        taken = take(database, limit=10)
        database.dispose()
        return taken

    with ThreadPoolExecutor(3) as pool:
        batches = list(pool.map(take_ten, range(3)))
    taken = [saga_id for batch in batches for saga_id in batch]
    assert len(taken) == len(set(taken))
    assert set(taken) | set(take(store.database)) == ids


def test_a_taker_passes_over_what_another_is_about_to_take(server_url: str) -> None:
    store = Store(Database(server_url))
    ids = {insert_due(store, f"T-{number}") for number in range(4)}
    with store.database.engine.begin() as one, store.database.engine.begin() as other:
        first = due.reserve_due(one, limit=2, reservation_s=HOUR_S)
        second = due.reserve_due(other, limit=4, reservation_s=HOUR_S)  # it waits for nobody
    assert set(first).isdisjoint(second)
    assert {*first, *second} == ids
    store.database.dispose()


@pytest.mark.parametrize("plan", ["hashjoin", "mergejoin", "nestloop", "hashagg", "seqscan"])
def test_a_batch_is_never_larger_than_its_limit_however_it_is_planned(
    plan: str, postgres_url: str
) -> None:
    # A sub-select that locks and is run once a row would lock and take more at each run.
    store = Store(Database(postgres_url))
    for number in range(30):
        insert_due(store, f"T-{number}", due_in_s=-number)
    with store.database.engine.begin() as connection:
        for kept in {"hashjoin", "mergejoin", "nestloop", "hashagg", "seqscan", "material"} - {
            plan
        }:
            connection.execute(text(f"SET LOCAL enable_{kept} = off"))
        assert len(due.reserve_due(connection, limit=3, reservation_s=HOUR_S)) == 3
    store.database.dispose()


def sent(store: Store, key: str, *, due_in_s: float, unsent: bool = False) -> UUID:
    saga_id = insert_due(store, key, due_in_s=due_in_s)
    if unsent:
        statement = update(t.saga).where(t.saga.c.id == saga_id).values(sent_at=None)
        store.database.write(lambda c: c.execute(statement))
    return saga_id


def extend(store: Store, *ids: UUID, epoch: int = 1) -> None:
    messages = [(saga_id, epoch) for saga_id in ids]
    store.database.write(lambda c: due.extend(c, messages, extension_s=10 * HOUR_S))


def test_a_saga_whose_message_is_in_good_hands_is_put_off(store: Store) -> None:
    saga_id, other = (sent(store, key, due_in_s=-1) for key in ("T-1", "T-2"))
    extend(store, saga_id)
    assert take(store.database) == [other]
    state = store.peek(saga_id)
    assert state
    assert saga_row(store.database, saga_id).due_at > state.now + timedelta(hours=5)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_message_of_another_epoch_puts_no_saga_off(epoch: int, store: Store) -> None:
    saga_id = sent(store, "T-1", due_in_s=-1)
    extend(store, saga_id, epoch=epoch)
    assert take(store.database) == [saga_id]


def test_a_saga_that_waits_for_no_message_is_not_put_off(store: Store) -> None:
    # It has moved on since the worker received its message: a retry's timer, or a turn back.
    saga_id = sent(store, "T-1", due_in_s=-1, unsent=True)
    extend(store, saga_id)
    assert take(store.database) == [saga_id]


@pytest.mark.parametrize("due_in_h", [6, 100])
def test_a_saga_that_is_put_off_already_is_not_written_again(due_in_h: float, store: Store) -> None:
    saga_id = sent(store, "T-1", due_in_s=due_in_h * HOUR_S)
    before = saga_row(store.database, saga_id).due_at
    extend(store, saga_id)
    assert saga_row(store.database, saga_id).due_at == before


def test_a_saga_that_has_ended_is_not_made_due_by_a_message_that_is_still_held(
    store: Store,
) -> None:
    saga_id = turned_back(store)
    extend(store, saga_id)
    assert saga_row(store.database, saga_id).due_at is None


def test_a_message_that_the_broker_did_not_take_is_noted_as_not_sent(store: Store) -> None:
    saga_id = started(store)
    state = store.peek(saga_id)
    assert state
    store.database.write(lambda c: due.note_unsent(c, state))
    assert saga_row(store.database, saga_id).sent_at is None


def test_one_that_it_took_all_the_same_hides_not_the_next_one_of_its_epoch(store: Store) -> None:
    # Its word was lost, and a worker was quicker than the note: the next link is on its way.
    saga_id = started(store)
    state = store.peek(saga_id)
    assert state
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    store.database.write(lambda c: due.note_unsent(c, state))
    assert saga_row(store.database, saga_id).sent_at is not None
    assert claims(store, saga_id, "hotel").decision.answer == Granted(1)


def test_to_vouch_for_nothing_does_nothing(store: Store) -> None:
    saga_id = sent(store, "T-1", due_in_s=-1)
    extend(store)
    assert take(store.database) == [saga_id]


def let_it_end_within(store: Store, saga_id: UUID, left_s: float) -> None:
    statement = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(lambda c: c.execute(statement.values(deadline_at=after_now(left_s))))


def test_a_saga_is_looked_at_when_its_deadline_passes_whoever_has_its_message(
    store: Store,
) -> None:
    soon, late = (sent(store, key, due_in_s=-1) for key in ("soon", "late"))
    for saga_id, left_h in ((soon, 9), (late, 11)):
        let_it_end_within(store, saga_id, left_h * HOUR_S)
    extend(store, soon, late)
    assert take(store.database) == [soon]
