"""A writer that predicts a saga writes what one that has read it writes, or nothing."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, update

from sagas.decision import (
    Decision,
    Dropped,
    Granted,
    Holder,
    Result,
    SagaState,
    Succeeded,
    cancel,
    claim,
    conclude,
    waiting,
)
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.due import note_unsent
from sagas.record.failed_sweeps import count_failed_sweep
from sagas.record.store import Committed, Store
from sagas.sql import after_now
from sagas.states import Operation, SagaStatus
from tests.support.records import (
    ERRORED,
    PLAN,
    REFUSED,
    TIMING,
    claims,
    concludes,
    move,
    saga_row,
    started,
)
from tests.support.states import planned

ACTION = Operation.ACTION
#: A step with a timeout, so that a moment is written that lies ahead.
TIMED = planned("flight", timeout=30)
TOKEN = "token"  # noqa: S105 - it names an execution


def claims_predicted(
    store: Store, saga_id: UUID, step: str, *, epoch: int = 1, plan: Plan = PLAN
) -> Committed:
    """Claim a step as a worker does that has only the message."""
    holder: Holder = {"hostname": "one@here", "task_id": "t-1"}

    def decide(saga: SagaState) -> Decision:
        return claim(saga, step, ACTION, epoch=epoch, token=TOKEN, holder=holder, timing=TIMING)

    made = store.transition(
        saga_id,
        decide,
        actor="worker 1",
        predicted=waiting(saga_id, plan, step, epoch),
    )
    assert made
    return made


def concludes_predicted(
    store: Store, saga_id: UUID, step: str, result: Result, predicted: SagaState
) -> Committed:
    """Settle an attempt as the worker does that has claimed it."""

    def decide(saga: SagaState) -> Decision:
        return conclude(
            saga,
            step,
            ACTION,
            result,
            epoch=predicted.epoch,
            token=TOKEN,
            timing=TIMING,
            chance=0.5,
        )

    made = store.transition(saga_id, decide, actor="worker 1", predicted=predicted)
    assert made
    return made


def written(store: Store, saga_id: UUID) -> list[dict[str, Any]]:
    """Return every row of a saga, without what differs between two that do the same."""
    queries = (
        select(t.saga).where(t.saga.c.id == saga_id),
        select(t.step).where(t.step.c.saga_id == saga_id).order_by(t.step.c.name),
        select(t.history).where(t.history.c.saga_id == saga_id).order_by(t.history.c.id),
    )
    read = store.database.read
    rows = read(lambda c: [row._asdict() for query in queries for row in c.execute(query)])
    begun = rows[0]["started_at"]
    different = ("id", "saga_id", "key")
    return [
        {name: _coarse(value, begun) for name, value in row.items() if name not in different}
        for row in rows
    ]


def _coarse(value: Any, begun: datetime) -> Any:
    """Return a moment as seconds from the start, to the nearest ten; tests take less than five."""
    return round((value - begun) / timedelta(seconds=10)) if isinstance(value, datetime) else value


@pytest.mark.parametrize("result", [Succeeded('"LH 1"'), REFUSED, ERRORED])
def test_both_ways_write_the_same_rows(store: Store, result: Result) -> None:
    steps = (TIMED, *PLAN.steps[1:])
    read, predicted = (started(store, key, steps=steps) for key in ("read", "predicted"))
    claims(store, read, "flight", hostname="one@here", task_id="t-1")
    claimed = claims_predicted(store, predicted, "flight", plan=Plan("trip", steps))
    assert written(store, predicted) == written(store, read)
    concludes(store, read, "flight", result)
    concluded = concludes_predicted(store, predicted, "flight", result, claimed.after)
    assert written(store, predicted) == written(store, read)
    found = store.peek(predicted)
    assert found
    assert found == replace(concluded.after, now=found.now)


def test_a_saga_that_is_predicted_all_the_way_completes(store: Store) -> None:
    read, predicted = started(store, "read"), started(store, "predicted")
    for step in ("flight", "hotel"):
        claims(store, read, step, hostname="one@here", task_id="t-1")
        concludes(store, read, step, Succeeded("1"))
        claimed = claims_predicted(store, predicted, step)
        concludes_predicted(store, predicted, step, Succeeded("1"), claimed.after)
    assert saga_row(store.database, predicted).status == SagaStatus.COMPLETED
    assert written(store, predicted) == written(store, read)


def test_on_postgresql_a_prediction_costs_one_statement(store: Store) -> None:
    statements: list[str] = []
    saga_id = started(store)
    claimed = claims_predicted(store, saga_id, "flight")  # compiles it, and connects
    concludes_predicted(store, saga_id, "flight", Succeeded("1"), claimed.after)
    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    claimed = claims_predicted(store, saga_id, "hotel")
    concludes_predicted(store, saga_id, "hotel", Succeeded("1"), claimed.after)
    # Elsewhere a transaction: it begins, and writes the saga first, which tells whether to go on.
    at_most = 2 if engine.dialect.name == "postgresql" else 2 * 5
    assert len(statements) <= at_most, statements


def test_a_claim_whose_reply_was_lost_is_granted_again(store: Store) -> None:
    saga_id = started(store)
    for _ in range(2):
        claimed = claims_predicted(store, saga_id, "flight")
        assert isinstance(claimed.decision.answer, Granted)
    assert saga_row(store.database, saga_id).turn == TOKEN


def test_a_second_attempt_is_counted(store: Store) -> None:
    saga_id = started(store)
    claims(store, saga_id, "flight")
    retried = concludes(store, saga_id, "flight", ERRORED)
    assert retried.after.turn is None
    claimed = claims_predicted(store, saga_id, "flight", epoch=retried.epoch)
    assert claimed.before.step("flight").attempt == 1
    assert claimed.before.step("flight").doubtful


def test_a_message_of_an_older_epoch_is_not_granted(store: Store) -> None:
    saga_id = started(store)
    saga = store.peek(saga_id)
    assert saga
    store.database.write(lambda c: note_unsent(c, saga))
    sent = move(store, saga_id)
    assert (sent.epoch, sent.after.turn) == (2, "flight")
    claimed = claims_predicted(store, saga_id, "flight", epoch=1)
    assert isinstance(claimed.decision.answer, Dropped)


def test_a_message_that_was_noted_as_unsent_is_not_granted(store: Store) -> None:
    saga_id = started(store)
    saga = store.peek(saga_id)
    assert saga
    store.database.write(lambda c: note_unsent(c, saga))
    claimed = claims_predicted(store, saga_id, "flight")
    assert isinstance(claimed.decision.answer, Dropped)


def test_a_cancel_while_the_step_runs_is_seen_at_its_end(store: Store) -> None:
    saga_id = started(store)
    claimed = claims_predicted(store, saga_id, "flight")
    store.transition(
        saga_id, lambda saga: cancel(saga, reason="…", timing=TIMING), actor="a person"
    )
    concluded = concludes_predicted(store, saga_id, "flight", Succeeded("1"), claimed.after)
    assert concluded.status is SagaStatus.COMPENSATING


def test_a_saga_of_another_plan_is_read(store: Store) -> None:
    saga_id = started(store, steps=PLAN.steps[:1])
    claimed = claims_predicted(store, saga_id, "flight")
    assert claimed.after.plan.steps == PLAN.steps[:1]


def test_a_saga_whose_sweep_failed_is_read(store: Store) -> None:
    saga_id = started(store, key="T-9")
    store.database.write(lambda c: c.execute(update(t.saga).values(due_at=after_now(-1))))
    store.database.write(
        lambda c: count_failed_sweep(c, saga_id, "…", timing=TIMING, actor="sweep 1")
    )
    claimed = claims_predicted(store, saga_id, "flight")
    assert (claimed.before.failed_sweeps, claimed.after.failed_sweeps) == (1, 0)
