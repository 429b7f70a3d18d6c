"""The checker reads a record faithfully, whatever its size."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from sagas.decision import Resolved, RetryLater, Succeeded, resolve
from sagas.errors import RecordNotReady
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.sql import after_now
from sagas.states import Operation, SagaStatus, StepStatus
from sagas.testing import Effect, check, ended_rows, observe, violations
from sagas.testing import reader as reading
from tests.support.records import (
    ERRORED,
    PLAN,
    REFUSED,
    claims,
    concludes,
    move,
    started,
    turned_back,
)

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def completed(store: Store, key: str) -> UUID:
    saga_id = started(store, key)
    for step in PLAN:
        claims(store, saga_id, step.name)
        concludes(store, saga_id, step.name, Succeeded('"done"'))
    return saga_id


def parked(store: Store, key: str) -> UUID:
    saga_id = started(store, key)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    claims(store, saga_id, "hotel")
    concludes(store, saga_id, "hotel", REFUSED)
    move(store, saga_id)
    claims(store, saga_id, "flight", COMPENSATION)
    ended = concludes(store, saga_id, "flight", REFUSED, COMPENSATION)
    assert ended.status is SagaStatus.FAILED
    return saga_id


def ledger(**sagas: Sequence[UUID]) -> list[Effect]:
    both = [Effect(i, step, ACTION) for i in sagas.get("both", ()) for step in ("flight", "hotel")]
    first = [Effect(i, "flight", op) for i in sagas.get("first", ()) for op in Operation]
    return [*both, *first, *(Effect(i, "flight", ACTION) for i in sagas.get("parked", ()))]


def rules(database: Database, effects: Sequence[Effect] | None = None, **evidence: Any) -> set[str]:
    return {violation.rule for violation in violations(database, effects, **evidence)}


def test_a_record_whose_sagas_ended_correctly_has_no_violations(store: Store) -> None:
    effects = ledger(
        both=[completed(store, "T-1")],
        first=[turned_back(store, "T-2")],
        parked=[parked(store, "T-3")],
    )
    check(store.database, effects, keys={"trip": ["T-1", "T-2", "T-3"]}, parked=["T-3"])
    check(store.database)


def test_it_reads_the_record_of_an_app_and_of_a_url(app: Celery, database_url: str) -> None:
    with_one = Store(Database(database_url))
    saga_id = completed(with_one, "T-1")
    with_one.database.dispose()
    for record in (app, database_url):
        (seen,) = observe(record)
        assert (seen.id, seen.key, seen.status) == (saga_id, "T-1", SagaStatus.COMPLETED)
        assert seen.steps == dict.fromkeys(("flight", "hotel"), StepStatus.SUCCESS)
        assert seen.plan == PLAN
        assert seen.effects is None


def test_every_violation_is_a_line_of_the_error(store: Store) -> None:
    saga_id = completed(store, "T-1")
    effects = [
        *ledger(both=[saga_id]),
        Effect(saga_id, "flight", ACTION),
        Effect(uuid4(), "x", "y"),
    ]
    with pytest.raises(AssertionError) as caught:
        check(store.database, effects)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 violations"
    assert lines[0] == f"S4 trip T-1 ({saga_id}): the action of flight was applied 2 times"
    assert lines[1].startswith("S1: the y of x was applied")


@pytest.mark.parametrize(
    ("table", "values", "rule"),
    [
        (t.saga, {"status": "COMPENSATED"}, "S2"),
        (t.saga, {"epoch": 0}, "S10"),
        (t.step, {"status": "SKIPPED"}, "S2"),
        (t.step, {"name": "car"}, "S14"),
        (t.history, {"event": "STARTED"}, "S2"),
        (t.history, {"epoch": 5}, "S10"),
    ],
)
def test_a_changed_row_is_detected(
    store: Store, table: Table, values: dict[str, Any], rule: str
) -> None:
    saga_id = completed(store, "T-1")
    assert rules(store.database) == set()
    key = table.c.id if table is t.saga else table.c.saga_id
    one = key == saga_id
    if table is t.step:
        one &= table.c.name == "hotel"
    if table is t.history:
        newest = store.database.read(lambda c: c.scalar(select(func.max(t.history.c.id))))
        one &= table.c.id == newest
    store.database.write(lambda c: c.execute(update(table).where(one).values(values)))
    assert rule in rules(store.database)


def test_a_missing_parked_saga_is_detected(store: Store) -> None:
    saga_id = parked(store, "T-1")
    since = ended_rows(store.database)

    def forget(connection: Connection) -> None:
        for column in (t.alert.c.saga_id, t.history.c.saga_id, t.step.c.saga_id, t.saga.c.id):
            connection.execute(delete(column.table).where(column == saga_id))

    store.database.write(forget)
    assert rules(store.database, since=since) == {"S2"}


def test_an_expected_parked_key_without_a_saga_is_detected(store: Store) -> None:
    parked(store, "T-1")
    assert rules(store.database, parked=["T-1"]) == set()
    assert rules(store.database, parked=["T-1", "T-0"]) == {"L1"}


def test_what_came_after_the_evidence_is_no_violation_while_sagas_run(store: Store) -> None:
    parked(store, "T-1")
    gathered: dict[str, Any] = {"keys": {"trip": []}, "delivered": {"hook": []}}
    assert rules(store.database, **gathered) == {"S1", "S12"}
    assert rules(store.database, **gathered, running=True) == set()


def test_a_missing_alert_is_detected(store: Store) -> None:
    parked(store, "T-1")
    assert rules(store.database) == set()
    store.database.write(lambda c: c.execute(delete(t.alert)))
    assert rules(store.database) == {"S12"}


def test_a_plan_with_a_changed_body_is_detected(store: Store) -> None:
    completed(store, "T-1")
    body = json.loads(PLAN.to_json())
    body["steps"][0]["action"]["task"] = "another"
    store.database.write(lambda c: c.execute(update(t.plan).values(body=json.dumps(body))))
    assert rules(store.database) == {"S14"}


def test_a_plan_that_another_version_wrote_is_accepted_as_written(store: Store) -> None:
    saga_id = completed(store, "T-1")
    body = PLAN.to_json() + "\n"  # the hash is that of the stored text and not of the parsed plan
    row = {"hash": hashlib.sha256(body.encode()).hexdigest(), "name": "trip", "body": body}
    moment = store.database.read(lambda c: c.scalar(select(t.plan.c.created_at)))
    store.database.write(lambda c: c.execute(insert(t.plan).values(created_at=moment, **row)))
    mine = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(lambda c: c.execute(mine.values(plan=row["hash"])))
    assert rules(store.database) == set()


def test_a_timer_in_the_future_is_no_hang_and_one_in_the_past_is(store: Store) -> None:
    saga_id = started(store, "T-1")
    claims(store, saga_id, "flight")
    answer = concludes(store, saga_id, "flight", ERRORED).decision.answer
    assert isinstance(answer, RetryLater)
    later = update(t.step).values(retry_at=after_now(3600))
    store.database.write(lambda c: c.execute(later))
    store.database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(3600))))
    assert rules(store.database) == set()
    over = update(t.step).values(retry_at=after_now(-1))
    store.database.write(lambda c: c.execute(over))
    assert rules(store.database) == {"L1"}
    assert rules(store.database, running=True) == set()


def test_a_delayed_start_counts_as_a_timer_and_a_sent_start_does_not(store: Store) -> None:
    started(store, "T-1")
    assert rules(store.database) == {"L1"}  # due after a lease, although its message is on the way
    later = update(t.saga).values(sent_at=None, due_at=after_now(3600))
    store.database.write(lambda c: c.execute(later))
    assert rules(store.database) == set()


def test_a_start_that_the_broker_did_not_accept_is_no_timer(store: Store) -> None:
    saga_id = started(store, "T-1")
    unsent = update(t.saga).values(sent_at=None)
    store.database.write(lambda c: c.execute(unsent))
    move(store, saga_id)  # a sweep sends it
    store.database.write(lambda c: c.execute(unsent.values(due_at=after_now(3600))))
    assert rules(store.database) == {"L1"}


def test_all_sagas_are_read_when_they_exceed_one_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [completed(store, f"T-{number}") for number in range(7)]
    monkeypatch.setattr(reading, "_SAGAS", reading._SAGAS.limit(3))  # noqa: SLF001
    assert [saga.id for saga in observe(store.database)] == sorted(ids)
    effects = ledger(both=ids)
    assert rules(store.database, effects) == set()
    assert len(violations(store.database, effects[:-2])) == 2


def test_a_write_after_the_end_is_detected(store: Store) -> None:
    done, stuck = completed(store, "T-1"), parked(store, "T-2")
    since = ended_rows(store.database)
    assert set(since) == {done, stuck}
    assert rules(store.database, since=since) == set()
    late = update(t.step).where(t.step.c.saga_id == done).values(worker=uuid7())
    store.database.write(lambda c: c.execute(late))
    (violation,) = violations(store.database, since=since)
    assert (violation.rule, violation.saga, violation.key) == ("S2", done, "T-1")


def test_only_a_person_may_change_a_parked_saga(store: Store) -> None:
    stuck = parked(store, "T-1")
    since = ended_rows(store.database)
    how: Resolved = {"by": "me", "note": "…", "at": "2026-03-01"}
    moved = store.transition(
        stuck, lambda saga: resolve(saga, completed=None, resolved=how), actor="operator me"
    )
    assert moved
    assert rules(store.database, since=since) == set()
    since = {stuck: replace(since[stuck], by_hand=1)}  # as if it had been changed before
    assert rules(store.database, since=since) == {"S2"}


def test_a_missing_ended_saga_is_detected(store: Store) -> None:
    since = ended_rows(store.database)
    assert since == {}
    completed(store, "T-1")
    since = ended_rows(store.database)
    with_it = (delete(t.step), delete(t.history), delete(t.saga))
    store.database.write(lambda c: [c.execute(statement) for statement in with_it])
    assert rules(store.database, since=since) == {"S2"}


def test_a_saga_that_advances_during_the_read_is_read_as_of_one_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = started(store, "T-1")
    by_saga = reading._by_saga  # noqa: SLF001
    moved: list[UUID] = []

    def moving(*args: Any) -> Any:
        if not moved:
            moved.append(saga_id)
            claims(store, saga_id, "flight")
        return by_saga(*args)

    monkeypatch.setattr(reading, "_by_saga", moving)
    assert rules(store.database, running=True) == set()
    assert moved


def test_without_tables_it_says_so(blank_database_url: str) -> None:
    with pytest.raises(RecordNotReady):
        check(blank_database_url)
