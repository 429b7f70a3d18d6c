"""Queries on the record."""

from datetime import UTC

import pytest

from sagas.decision import Succeeded
from sagas.ids import uuid7
from sagas.record import queries
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.states import SagaStatus, StepStatus
from tests.support.records import REFUSED, claims, concludes, started, turned_back


@pytest.fixture
def ids(store: Store) -> dict[str, object]:
    """Insert three sagas into the record: one ended, one running, one waiting."""
    made = {"ended": turned_back(store, "T-1"), "runs": started(store, "T-2")}
    claims(store, made["runs"], "flight", hostname="one@here", task_id="t-1")
    return {**made, "waits": started(store, "T-3")}


def test_a_saga_is_found_by_its_id_and_by_its_key(store: Store) -> None:
    saga_id = turned_back(store)
    view = store.database.read(lambda c: queries.saga_by_id(c, saga_id))
    assert view == store.database.read(lambda c: queries.saga_by_key(c, "trip", "T-1"))
    assert view
    assert (view.id, view.name, view.key) == (saga_id, "trip", "T-1")
    assert (view.status, view.epoch) == (SagaStatus.COMPENSATED, 2)
    assert isinstance(view.status, SagaStatus)
    assert view.failure == {
        "step": "hotel",
        "type": "StepFailed",
        "message": "sold out",
        "code": "SOLD_OUT",
    }
    assert view.started_at.tzinfo is UTC
    assert view.ended_at
    assert view.ended_at >= view.started_at


def test_an_unknown_saga_is_none(store: Store) -> None:
    started(store)
    read = store.database.read
    assert read(lambda c: queries.saga_by_id(c, uuid7())) is None
    assert read(lambda c: queries.saga_by_key(c, "trip", "T-2")) is None
    assert read(lambda c: queries.saga_by_key(c, "another", "T-1")) is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["T-3", "T-2", "T-1"]),
        ({"limit": 2}, ["T-3", "T-2"]),
        ({"key": "T-2"}, ["T-2"]),
        ({"status": SagaStatus.COMPENSATED}, ["T-1"]),
        ({"status": SagaStatus.IN_PROGRESS, "key": "T-1"}, []),
        ({"name": "trip", "status": SagaStatus.STARTED}, ["T-3"]),
        ({"name": "another"}, []),
    ],
    ids=str,
)
@pytest.mark.usefixtures("ids")
def test_a_list_has_only_full_matches_newest_first(
    wanted: dict[str, object], found: list[str], database: Database
) -> None:
    views = database.read(lambda c: queries.find_sagas(c, **wanted))  # type: ignore[arg-type]
    assert [view.key for view in views] == found


@pytest.mark.usefixtures("ids")
def test_sagas_are_counted_by_status(database: Database) -> None:
    assert database.read(queries.count_by_status) == {
        SagaStatus.COMPENSATED: 1,
        SagaStatus.IN_PROGRESS: 1,
        SagaStatus.STARTED: 1,
    }


def test_an_empty_record_has_nothing_to_count_or_list(database: Database) -> None:
    assert database.read(queries.count_by_status) == {}
    assert list(database.read(queries.find_sagas)) == []


def test_every_step_of_the_plan_is_shown_in_order(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight", hostname="one@here", task_id="t-1")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    flight, hotel = store.database.read(lambda c: queries.steps_of(c, saga_id))
    assert (flight.name, flight.status, flight.attempt) == ("flight", StepStatus.SUCCESS, 1)
    assert (flight.output, flight.hostname, flight.task_id) == ('"LH 1"', "one@here", "t-1")
    assert flight.started_at
    assert flight.ended_at
    assert flight.started_at <= flight.ended_at
    assert (hotel.name, hotel.status, hotel.attempt) == ("hotel", StepStatus.PENDING, 0)


def test_the_two_directions_of_a_step_are_shown_separately(store: Store) -> None:
    saga_id = turned_back(store)
    flight, hotel = store.database.read(lambda c: queries.steps_of(c, saga_id))
    assert flight.status is StepStatus.COMPENSATED
    assert (flight.attempt, flight.compensation_attempt) == (1, 1)
    assert flight.ended_at
    assert flight.compensation_started_at
    assert flight.compensation_ended_at
    assert flight.ended_at <= flight.compensation_started_at <= flight.compensation_ended_at
    assert hotel.status is StepStatus.FAILED
    assert hotel.error == REFUSED.error
    assert hotel.compensation_attempt == 0


def test_a_history_belongs_to_one_saga_and_starts_with_the_oldest_entry(store: Store) -> None:
    turned_back(store, "T-1")
    saga_id = started(store, "T-2", skipped=("hotel",))
    entries = store.database.read(lambda c: queries.history_of(c, saga_id))
    assert [(entry.event, entry.step, entry.actor) for entry in entries] == [
        ("STARTED", None, "a test"),
        ("SKIPPED", "hotel", "a test"),
    ]
    assert entries[0].id < entries[1].id


def test_the_reason_for_a_turn_back_is_in_the_history(store: Store) -> None:
    saga_id = turned_back(store)
    entries = store.database.read(lambda c: queries.history_of(c, saga_id))
    (turned,) = (entry for entry in entries if entry.event == "COMPENSATING" and not entry.step)
    assert turned.detail
    assert turned.detail["message"] == "sold out"
    assert turned.actor == "sweep 1"
