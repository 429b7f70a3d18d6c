"""Which sagas are due, and who reserves them."""

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

#: The unit of all times here: no test runs so long that a future time passes.
HOUR_S = 3600.0


def take(database: Database, limit: int = 100, reservation_s: float = HOUR_S) -> Sequence[UUID]:
    return database.write(lambda c: due.reserve_due(c, limit=limit, reservation_s=reservation_s))


def test_a_saga_becomes_due_at_its_time(store: Store) -> None:
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


def test_a_batch_is_half_the_longest_overdue_and_half_the_most_recently_due(
    store: Store,
) -> None:
    ids = {n: insert_due(store, f"T-{n}", due_in_s=-n * HOUR_S) for n in range(1, 9)}
    assert take(store.database, limit=3) == [ids[8], ids[7], ids[1]]
    assert take(store.database, limit=1) == [ids[6]]
    assert take(store.database, limit=9) == [ids[n] for n in (5, 4, 3, 2)]


def test_sagas_that_could_not_be_advanced_before_are_reserved_separately(store: Store) -> None:
    stumbled = insert_due(store, "T-1", due_in_s=-99, failed_sweeps=1)
    other = insert_due(store, "T-2")
    assert take(store.database) == [other]
    assert store.database.read(due.any_due)
    taken = store.database.write(
        lambda c: due.reserve_due(c, limit=9, reservation_s=HOUR_S, failing=True)
    )
    assert taken == [stumbled]


def test_a_reserved_saga_is_hidden_from_others_for_a_while_and_then_due_again(store: Store) -> None:
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


def test_a_full_batch_of_sagas_that_cannot_be_advanced_does_not_block_the_rest(
    store: Store,
) -> None:
    hopeless = {insert_due(store, f"T-{number}", due_in_s=-99) for number in range(9)}
    rest = insert_due(store, "the rest")
    assert rest in take(store.database, limit=5)
    assert set(take(store.database, limit=5)) < hopeless


def test_simultaneous_reservations_get_different_sagas(store: Store, database_url: str) -> None:
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


def test_a_reservation_passes_over_rows_that_another_has_locked(server_url: str) -> None:
    store = Store(Database(server_url))
    ids = {insert_due(store, f"T-{number}") for number in range(4)}
    with store.database.engine.begin() as one, store.database.engine.begin() as other:
        first = due.reserve_due(one, limit=2, reservation_s=HOUR_S)
        second = due.reserve_due(
            other, limit=4, reservation_s=HOUR_S
        )  # it does not wait for the lock
    assert set(first).isdisjoint(second)
    assert {*first, *second} == ids
    store.database.dispose()


@pytest.mark.parametrize("plan", ["hashjoin", "mergejoin", "nestloop", "hashagg", "seqscan"])
def test_a_batch_never_exceeds_its_limit_with_any_query_plan(plan: str, postgres_url: str) -> None:
    # A locking sub-select that ran once per row would lock and reserve more rows each time.
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


def test_a_saga_whose_message_is_held_by_a_live_worker_is_postponed(store: Store) -> None:
    saga_id, other = (sent(store, key, due_in_s=-1) for key in ("T-1", "T-2"))
    extend(store, saga_id)
    assert take(store.database) == [other]
    state = store.peek(saga_id)
    assert state
    assert saga_row(store.database, saga_id).due_at > state.now + timedelta(hours=5)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_message_of_another_epoch_postpones_no_saga(epoch: int, store: Store) -> None:
    saga_id = sent(store, "T-1", due_in_s=-1)
    extend(store, saga_id, epoch=epoch)
    assert take(store.database) == [saga_id]


def test_a_saga_that_expects_no_message_is_not_postponed(store: Store) -> None:
    # It has advanced since the worker received its message: it has a retry timer or turned back.
    saga_id = sent(store, "T-1", due_in_s=-1, unsent=True)
    extend(store, saga_id)
    assert take(store.database) == [saga_id]


@pytest.mark.parametrize("due_in_h", [6, 100])
def test_a_saga_that_is_already_postponed_is_not_written_again(
    due_in_h: float, store: Store
) -> None:
    saga_id = sent(store, "T-1", due_in_s=due_in_h * HOUR_S)
    before = saga_row(store.database, saga_id).due_at
    extend(store, saga_id)
    assert saga_row(store.database, saga_id).due_at == before


def test_a_message_that_a_worker_still_has_does_not_make_an_ended_saga_due(
    store: Store,
) -> None:
    saga_id = turned_back(store)
    extend(store, saga_id)
    assert saga_row(store.database, saga_id).due_at is None


def test_a_message_that_the_broker_did_not_accept_is_recorded_as_unsent(store: Store) -> None:
    saga_id = started(store)
    state = store.peek(saga_id)
    assert state
    store.database.write(lambda c: due.note_unsent(c, state))
    assert saga_row(store.database, saga_id).sent_at is None


def test_recording_a_message_as_unsent_does_not_hide_the_next_one(store: Store) -> None:
    # The broker's confirmation was lost, and a worker was faster: the next message is on its way.
    saga_id = started(store)
    state = store.peek(saga_id)
    assert state
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    store.database.write(lambda c: due.note_unsent(c, state))
    assert saga_row(store.database, saga_id).sent_at is not None
    assert claims(store, saga_id, "hotel").decision.answer == Granted(1)


def test_extending_nothing_changes_nothing(store: Store) -> None:
    saga_id = sent(store, "T-1", due_in_s=-1)
    extend(store)
    assert take(store.database) == [saga_id]


def let_it_end_within(store: Store, saga_id: UUID, left_s: float) -> None:
    statement = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(lambda c: c.execute(statement.values(deadline_at=after_now(left_s))))


def test_a_saga_is_checked_at_its_deadline_whoever_has_its_message(
    store: Store,
) -> None:
    soon, late = (sent(store, key, due_in_s=-1) for key in ("soon", "late"))
    for saga_id, left_h in ((soon, 9), (late, 11)):
        let_it_end_within(store, saga_id, left_h * HOUR_S)
    extend(store, soon, late)
    assert take(store.database) == [soon]
