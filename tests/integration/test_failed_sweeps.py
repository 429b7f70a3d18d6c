"""What is recorded about a saga that sweeps fail to advance."""

from uuid import UUID

from sqlalchemy import select

from sagas.decision import FAILED_SWEEPS_TO_ALERT, Timing
from sagas.record import tables as t
from sagas.record.failed_sweeps import count_failed_sweep
from sagas.record.store import Store
from tests.support.records import count, events, saga_row, started, turned_back


def failed_sweeps(store: Store, saga_id: UUID, error: str = "no plan.") -> int | None:
    return store.database.write(
        lambda c: count_failed_sweep(c, saga_id, error, timing=Timing(), actor="sweep 1")
    )


def test_the_third_failed_sweep_in_a_row_is_reported_with_its_error(store: Store) -> None:
    saga_id = started(store)
    counted = [failed_sweeps(store, saga_id, f"error {number}.") for number in range(1, 7)]
    assert counted == [1, 2, 3, 4, 5, 6]
    assert events(store.database, saga_id) == ["STARTED", "blocked"]
    (body,) = store.database.read(lambda c: c.execute(select(t.alert.c.body)).scalars().all())
    first_words = f"{FAILED_SWEEPS_TO_ALERT} sweeps in a row failed to advance it: error 3. "
    assert body["reason"].startswith(first_words)
    assert saga_row(store.database, saga_id).blocked["reason"] == body["reason"]


def test_a_saga_that_has_ended_meanwhile_is_left_as_it_is(store: Store) -> None:
    saga_id = turned_back(store)
    before, history = saga_row(store.database, saga_id), count(store.database, t.history)
    assert failed_sweeps(store, saga_id) is None
    assert saga_row(store.database, saga_id) == before
    assert count(store.database, t.history) == history


def test_a_saga_that_is_gone_has_no_failed_sweeps(store: Store) -> None:
    assert failed_sweeps(store, UUID(int=0)) is None
