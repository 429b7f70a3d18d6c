"""Writing the record: conditionally, with its history, in one commit."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import IntegrityError, OperationalError

from sagas.decision import (
    Decision,
    Dropped,
    Errored,
    Fenced,
    Granted,
    Parked,
    Postponed,
    Recorded,
    RetryLater,
    SagaState,
    StepChange,
    Succeeded,
    Transition,
    transition,
)
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.record.writes import write
from sagas.sql import after_now
from sagas.states import Operation, SagaStatus, StepStatus
from tests.support.records import (
    ERRORED,
    REFUSED,
    claimer,
    claims,
    concludes,
    count,
    events,
    move,
    saga_row,
    started,
    step_row,
    turned_back,
)

T = TypeVar("T")


def as_written(saga: SagaState, decision: Decision) -> Transition:
    return transition(saga, lambda _: decision)


@pytest.fixture
def other_store(database_url: str) -> Iterator[Store]:
    """Return the store of another process."""
    database = Database(database_url)
    yield Store(database)
    database.dispose()


def test_a_claim_writes_the_saga_the_step_and_the_history(store: Store) -> None:
    saga_id, worker = started(store), uuid7()
    claimed = claims(store, saga_id, "flight", worker=worker, hostname="one@here", task_id="t-1")
    saga, step = saga_row(store.database, saga_id), step_row(store.database, saga_id, "flight")
    assert claimed.status is SagaStatus.IN_PROGRESS
    assert (saga.status, saga.epoch, saga.sent_at) == ("IN_PROGRESS", 1, None)
    assert step
    assert (step.status, step.attempt, step.claim) == ("RUNNING", 1, "token")
    assert (step.worker, step.hostname, step.task_id) == (worker, "one@here", "t-1")
    assert events(store.database, saga_id) == ["STARTED", "flight RUNNING", "IN_PROGRESS"]


def test_every_history_entry_has_its_epoch_attempt_and_actor(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", ERRORED)  # raises the epoch
    claims(store, saga_id, "flight")
    query = t.history.select().where(t.history.c.step == "flight").order_by(t.history.c.id)
    rows = store.database.read(lambda c: c.execute(query).all())
    assert [(row.event, row.epoch, row.attempt, row.operation) for row in rows] == [
        ("RUNNING", 1, 1, "action"),
        ("UNKNOWN", 2, 1, "action"),
        ("RUNNING", 2, 2, "action"),
    ]
    assert {row.actor for row in rows} == {"worker 1"}
    assert rows[1].detail["error"]["message"] == "no route"
    assert rows[0].at <= rows[1].at <= rows[2].at
    assert rows[0].at.utcoffset() is not None


def test_a_saga_turns_back_and_keeps_the_reason(store: Store) -> None:
    saga_id = turned_back(store)
    saga = saga_row(store.database, saga_id)
    assert (saga.status, saga.due_at, saga.epoch) == ("COMPENSATED", None, 2)
    assert saga.failure["code"] == "SOLD_OUT"
    assert saga.ended_at >= saga.started_at
    assert events(store.database, saga_id) == [
        "STARTED",
        "flight RUNNING",
        "IN_PROGRESS",
        "flight SUCCESS",
        "hotel RUNNING",
        "hotel FAILED",
        "COMPENSATING",
        "flight COMPENSATING",
        "flight COMPENSATED",
        "COMPENSATED",
    ]


def test_a_decision_is_based_on_the_state_before_it(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    before = concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    after = claims(store, saga_id, "hotel")
    assert (before.outputs, after.outputs) == ({"flight": None}, {"flight": '"LH 1"'})
    assert before.before.step("flight").status is StepStatus.RUNNING
    assert before.after.step("flight").status is StepStatus.SUCCESS
    assert after.input == "{}"


def test_a_retry_and_its_message_belong_to_the_new_epoch(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    retried = concludes(store, saga_id, "flight", ERRORED)
    assert (retried.before.epoch, retried.epoch, retried.after.epoch) == (1, 2, 2)
    assert saga_row(store.database, saga_id).epoch == 2


def test_an_unknown_saga_is_not_advanced(store: Store) -> None:
    decided: list[SagaState] = []

    def decide(saga: SagaState) -> Decision:
        decided.append(saga)
        return Decision()

    assert store.transition(uuid7(), decide, actor="nobody") is None
    assert store.peek(uuid7()) is None
    assert not decided


@pytest.mark.parametrize(
    ("decision", "edge"),
    [
        (Decision(path=(SagaStatus.COMPENSATED,)), "STARTED -> COMPENSATED"),
        (
            Decision(path=(SagaStatus.IN_PROGRESS, SagaStatus.COMPENSATED)),
            "IN_PROGRESS -> COMPENSATED",
        ),
        (
            Decision(
                path=(SagaStatus.IN_PROGRESS,),
                raise_epoch=True,
                steps=(
                    StepChange("flight", Operation.ACTION, 1, StepStatus.RUNNING),
                    StepChange("hotel", Operation.ACTION, 1, StepStatus.SUCCESS),
                ),
            ),
            "hotel: no edge PENDING -> SUCCESS",
        ),
    ],
    ids=["saga", "second edge", "step"],
)
def test_a_decision_with_an_undeclared_transition_is_refused_as_a_whole(
    decision: Decision, edge: str, store: Store
) -> None:
    saga_id = started(store)
    with pytest.raises(AssertionError, match=f"{edge}"):
        store.transition(saga_id, lambda _: decision, actor="a fool")
    saga = saga_row(store.database, saga_id)
    assert (saga.status, saga.epoch) == ("STARTED", 1)
    assert step_row(store.database, saga_id, "flight") is None
    assert events(store.database, saga_id) == ["STARTED"]


def test_state_and_history_commit_together_or_not_at_all(store: Store) -> None:
    saga_id = started(store)
    nobody: Any = None  # the last history column to be written refuses it
    with pytest.raises(IntegrityError):
        store.transition(saga_id, claimer("flight", Operation.ACTION, "token"), actor=nobody)
    assert saga_row(store.database, saga_id).status == "STARTED"
    assert step_row(store.database, saga_id, "flight") is None
    assert events(store.database, saga_id) == ["STARTED"]


def test_a_saga_is_parked_together_with_its_reason_and_its_alert(store: Store) -> None:
    saga_id = started(store)
    parked: Parked = {"reason": "…", "steps": ["flight"], "operation": Operation.ACTION}
    decision = Decision(path=(SagaStatus.IN_PROGRESS, SagaStatus.FAILED), values={"parked": parked})
    store.transition(saga_id, lambda _: decision, actor="nobody")
    query = t.history.select().order_by(t.history.c.id.desc()).limit(1)
    last = store.database.read(lambda c: c.execute(query).one())
    assert (last.event, last.detail) == ("FAILED", parked)
    assert count(store.database, t.alert) == 1


def test_a_decision_that_changes_nothing_writes_nothing(store: Store) -> None:
    saga_id = started(store)
    before = saga_row(store.database, saga_id)
    store.transition(saga_id, lambda _: Decision(Fenced()), actor="nobody")
    assert saga_row(store.database, saga_id) == before
    assert count(store.database, t.history) == 1


@pytest.mark.parametrize(
    "stale",
    [
        lambda state: replace(state, epoch=state.epoch - 1),
        lambda state: replace(state, status=SagaStatus.STARTED),
        lambda state: replace(state, id=UUID(int=0)),
    ],
    ids=["epoch", "status", "saga"],
)
def test_a_writer_without_the_lock_changes_nothing(
    stale: Callable[[SagaState], SagaState], store: Store
) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    state = store.peek(saga_id)
    assert state
    decision = Decision(path=(SagaStatus.IN_PROGRESS,) * (stale(state).status != state.status))
    decision = replace(decision, values={"checks": 9})
    before = saga_row(store.database, saga_id)
    with pytest.raises(AssertionError, match="without its lock"):
        store.database.write(lambda c: write(c, as_written(stale(state), decision), "a ghost"))
    assert saga_row(store.database, saga_id) == before


def test_a_step_is_written_only_from_the_status_that_was_decided_on(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    stale = store.peek(saga_id)
    concludes(store, saga_id, "flight", Succeeded())
    change = StepChange("flight", Operation.ACTION, 1, StepStatus.FAILED)
    assert stale
    late = as_written(stale, Decision(steps=(change,)))
    with pytest.raises(AssertionError, match="without its lock"):
        store.database.write(lambda c: write(c, late, "a ghost"))
    step = step_row(store.database, saga_id, "flight")
    assert step
    assert step.status == "SUCCESS"


def test_of_two_simultaneous_claims_of_one_step_one_is_granted_and_one_is_dropped(
    store: Store, other_store: Store
) -> None:
    saga_id = started(store)
    both = threading.Barrier(2)

    def claim_as(racer: Store, token: str) -> Any:
        def decide(saga: SagaState) -> Decision:
            # Without a lock both arrive here and wait until both have read the same state.
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.3)
            return claimer("flight", Operation.ACTION, token)(saga)

        made = racer.transition(saga_id, decide, actor=token)
        assert made
        return made.decision.answer

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(claim_as, [store, other_store], ["one", "other"]))
    assert sorted(answers, key=str) == [Dropped("it is running elsewhere"), Granted(1)]
    assert events(store.database, saga_id).count("flight RUNNING") == 1
    step = step_row(store.database, saga_id, "flight")
    assert step
    assert step.attempt == 1


def test_a_saga_can_be_read_while_it_is_locked(store: Store, other_store: Store) -> None:
    saga_id = started(store)
    seen: list[SagaState | None] = []

    def decide(saga: SagaState) -> Decision:
        seen.append(other_store.peek(saga.id))
        return claimer("flight", Operation.ACTION, "token")(saga)

    store.transition(saga_id, decide, actor="worker 1")
    assert seen[0]
    assert seen[0].status is SagaStatus.STARTED


def test_other_sagas_can_be_advanced_while_one_is_locked(server_url: str) -> None:
    one, other = Store(Database(server_url)), Store(Database(server_url))
    locked, free = started(one, "T-1"), started(one, "T-2")

    def decide(_: SagaState) -> Decision:
        claims(other, free, "flight")
        return Decision()

    one.transition(locked, decide, actor="worker 1")
    assert saga_row(one.database, free).status == "IN_PROGRESS"
    one.database.dispose()
    other.database.dispose()


class LostReply:
    """Commits a transaction and then loses the reply, once."""

    def __init__(self, database: Database) -> None:
        self._once = database._once  # noqa: SLF001
        self.lost = 0

    def __call__(self, begin: str, work: Callable[[Connection], T]) -> T:
        result = self._once(begin, work)
        if not self.lost:
            self.lost += 1
            raise OperationalError("COMMIT", {}, Exception("connection closed"))
        return result


def test_a_claim_whose_reply_was_lost_is_one_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = started(store)
    reply = LostReply(store.database)
    monkeypatch.setattr(store.database, "_once", reply)
    claimed = claims(store, saga_id, "flight")
    assert reply.lost
    assert claimed.decision.answer == Granted(1)
    assert events(store.database, saga_id).count("flight RUNNING") == 1


@pytest.mark.parametrize("result", [Succeeded("1"), REFUSED])
def test_an_outcome_whose_reply_was_lost_is_recorded_once(
    result: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    monkeypatch.setattr(store.database, "_once", LostReply(store.database))
    concluded = concludes(store, saga_id, "flight", result)
    assert concluded.decision.answer == Recorded()
    expected = "flight SUCCESS" if isinstance(result, Succeeded) else "flight FAILED"
    assert events(store.database, saga_id).count(expected) == 1


def test_an_execution_holds_its_step_until_the_saga_goes_on_without_it(store: Store) -> None:
    saga_id = started(store)
    assert not store.holds(saga_id, "flight", "token", 1)
    claims(store, saga_id, "flight")
    assert store.holds(saga_id, "flight", "token", 1)
    assert not store.holds(saga_id, "flight", "another", 1)
    assert not store.holds(saga_id, "hotel", "token", 1)
    assert not store.holds(uuid7(), "flight", "token", 1)
    move(store, saga_id)  # takes it over
    assert not store.holds(saga_id, "flight", "token", 1)
    assert not store.holds(saga_id, "flight", "token", 2)


def test_an_execution_that_has_ended_no_longer_holds_its_step(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    concludes(store, saga_id, "flight", Succeeded())
    assert not store.holds(saga_id, "flight", "token", 1)


def test_a_saga_is_due_no_later_than_its_deadline_whatever_was_decided(store: Store) -> None:
    saga_id = started(store)
    soon = update(t.saga).where(t.saga.c.id == saga_id).values(deadline_at=after_now(20))
    store.database.write(lambda c: c.execute(soon))
    claims(store, saga_id, "flight")  # a running step is checked after a minute
    row = saga_row(store.database, saga_id)
    assert row.due_at == row.deadline_at


def test_a_plan_is_stored_once_and_readable_by_processes_that_never_saw_it(
    store: Store, other_store: Store
) -> None:
    ids = [started(store, key) for key in ("T-1", "T-2")]
    assert count(store.database, t.plan) == 1
    states = [other_store.peek(saga_id) for saga_id in ids]
    assert all(state and state.plan == states[0].plan for state in states if states[0])
    assert [step.name for step in states[0].plan] == ["flight", "hotel"]  # type: ignore[union-attr]


def test_times_come_from_the_database_and_are_aware_and_in_utc(store: Store) -> None:
    state = store.peek(started(store))
    assert state
    assert state.now.utcoffset() is not None
    assert state.now.tzname() == "UTC"
    assert state.sent_at is not None
    assert state.sent_at <= state.now


@pytest.mark.parametrize("operation", Operation)
def test_what_the_participant_postponed_is_counted_in_the_record(
    store: Store, operation: Operation
) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    if operation is Operation.COMPENSATION:
        concludes(store, saga_id, "flight", Errored({"type": "E", "message": "…"}, final=True))
        move(store, saga_id)
        claims(store, saga_id, "flight", operation)
    busy = Postponed({"type": "RetryAfter", "message": "busy"}, 7.5)
    postponed = concludes(store, saga_id, "flight", busy, operation)
    assert postponed.decision.answer == RetryLater(7.5)
    peeked = store.peek(saga_id)
    assert peeked is not None
    assert peeked.step("flight").postponed(operation) == (1, 8)
    assert peeked.step("flight").status is postponed.after.step("flight").status
