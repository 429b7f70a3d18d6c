"""Rows of the record, and functions that take a saga from one to the next."""

from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, func, select, update

from sagas.decision import (
    Decision,
    Errored,
    Holder,
    Refused,
    Result,
    SagaState,
    Succeeded,
    Timing,
    advance,
    claim,
    conclude,
)
from sagas.ids import uuid7
from sagas.plan import Plan, PlannedStep
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Committed, Store
from sagas.sql import after_now
from sagas.states import Operation, SagaStatus
from tests.support.states import planned

__all__ = [
    "ERRORED",
    "PLAN",
    "REFUSED",
    "claimer",
    "claims",
    "concludes",
    "count",
    "events",
    "everything",
    "insert_due",
    "let_it_be_due",
    "move",
    "new_saga",
    "parked",
    "saga_row",
    "started",
    "step_row",
    "turned_back",
]

PLAN = Plan("trip", (planned("flight"), planned("hotel")))
TIMING = Timing()
REFUSED = Refused({"type": "StepFailed", "message": "sold out", "code": "SOLD_OUT"})
ERRORED = Errored({"type": "OSError", "message": "no route"})


def new_saga(
    key: str = "T-1", *, steps: Sequence[PlannedStep] = PLAN.steps, **more: Any
) -> NewSaga:
    """Describe a saga that is not in the record yet."""
    values = {"input": "{}", "skipped": (), "actor": "a test", **more}
    return NewSaga(id=uuid7(), key=key, plan=Plan("trip", tuple(steps)), **values)


def started(store: Store, key: str = "T-1", **more: Any) -> UUID:
    """Insert a saga into the record."""
    new = new_saga(key, **more)
    return store.database.write(lambda c: insert_sagas(c, store.plans, [new], lease_s=3600))[0]


def insert_due(store: Store, key: str, *, due_in_s: float = -1, **values: Any) -> UUID:
    """Insert a saga into the record that is due this many seconds from now."""
    saga_id = started(store, key)
    statement = update(t.saga).where(t.saga.c.id == saga_id)
    store.database.write(
        lambda c: c.execute(statement.values(due_at=after_now(due_in_s), **values))
    )
    return saga_id


def let_it_be_due(store: Store) -> None:
    """Make every saga due that is still to be checked."""
    again = update(t.saga).where(t.saga.c.due_at.is_not(None)).values(due_at=after_now(-1))
    store.database.write(lambda c: c.execute(again))


def claimer(
    step: str, operation: Operation, token: str, **holder: Any
) -> Callable[[SagaState], Decision]:
    """Return a function that decides on a message of the saga's own epoch."""

    def decide(saga: SagaState) -> Decision:
        return claim(
            saga,
            step,
            operation,
            epoch=saga.epoch,
            token=token,
            holder=cast("Holder", holder),
            timing=TIMING,
        )

    return decide


def claims(
    store: Store,
    saga_id: UUID,
    step: str,
    operation: Operation = Operation.ACTION,
    *,
    token: str = "token",  # noqa: S107 - it names an execution
    **holder: Any,
) -> Committed:
    """Claim a step."""
    made = store.transition(saga_id, claimer(step, operation, token, **holder), actor="worker 1")
    assert made
    return made


def concludes(
    store: Store,
    saga_id: UUID,
    step: str,
    result: Result,
    operation: Operation = Operation.ACTION,
    *,
    token: str = "token",  # noqa: S107 - it names an execution
) -> Committed:
    """Settle an attempt."""

    def decide(saga: SagaState) -> Decision:
        return conclude(
            saga,
            step,
            operation,
            result,
            epoch=saga.epoch,
            token=token,
            timing=TIMING,
            chance=0.5,
        )

    made = store.transition(saga_id, decide, actor="worker 1")
    assert made
    return made


def move(store: Store, saga_id: UUID) -> Committed:
    """Advance a saga that was left alone."""
    made = store.transition(
        saga_id,
        lambda saga: advance(saga, alive=lambda _: False, lost=True, timing=TIMING, chance=0.5),
        actor="sweep 1",
    )
    assert made
    return made


def turned_back(store: Store, key: str = "T-1") -> UUID:
    """Insert a saga whose flight was booked, whose hotel was refused, and which has ended."""
    saga_id = started(store, key)
    claims(store, saga_id, "flight", hostname="one@here")
    concludes(store, saga_id, "flight", Succeeded('"LH 1"'))
    claims(store, saga_id, "hotel")
    concludes(store, saga_id, "hotel", REFUSED)
    move(store, saga_id)
    claims(store, saga_id, "flight", Operation.COMPENSATION)
    ended = concludes(store, saga_id, "flight", Succeeded(), Operation.COMPENSATION)
    assert ended.status is SagaStatus.COMPENSATED
    return saga_id


def parked(store: Store, key: str = "T-1") -> UUID:
    """Insert a saga that turned back and whose only undo was refused."""
    saga_id = started(store, key, steps=PLAN.steps[:1])
    for _ in range(2):
        claims(store, saga_id, "flight")
        concludes(store, saga_id, "flight", ERRORED)
    move(store, saga_id)
    claims(store, saga_id, "flight", Operation.COMPENSATION)
    concludes(store, saga_id, "flight", REFUSED, Operation.COMPENSATION)
    return saga_id


def saga_row(database: Database, saga_id: UUID) -> Row[Any]:
    """Return a saga's row."""
    return database.read(lambda c: c.execute(select(t.saga).where(t.saga.c.id == saga_id)).one())


def step_row(database: Database, saga_id: UUID, name: str) -> Row[Any] | None:
    """Return a step's row, if it has one."""
    query = select(t.step).where(t.step.c.saga_id == saga_id, t.step.c.name == name)
    return database.read(lambda c: c.execute(query).one_or_none())


def events(database: Database, saga_id: UUID) -> list[str]:
    """Return a saga's history, each entry as "step event"."""
    query = select(t.history).where(t.history.c.saga_id == saga_id).order_by(t.history.c.id)
    rows = database.read(lambda c: c.execute(query).all())
    return [f"{row.step} {row.event}" if row.step else row.event for row in rows]


def count(database: Database, table: Any) -> int:
    """Return the number of rows of a table."""
    return database.read(lambda c: c.scalar(select(func.count()).select_from(table)) or 0)


def everything(database: Database) -> str:
    """Return every row of the record."""

    def rows(table: Any) -> Any:
        return database.read(lambda c: c.execute(select(table).order_by(*table.primary_key)).all())

    return repr([(table.name, rows(table)) for table in t.metadata.sorted_tables])
