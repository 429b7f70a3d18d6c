"""Sagas that are under way or parked, with their plans: what new code must be able to finish."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from sagas.decision import SagaState
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import state_of
from sagas.sql import chunked, now
from sagas.states import ENDED, SagaStatus

__all__ = ["LivePlan", "LiveSaga", "live_plans", "live_sagas", "live_sagas_of"]

#: A parked saga counts: an operator may retry it. A saga moves from one to the next: this order
#: misses none that moves on between two batches.
LIVE = [status for status in SagaStatus if status not in ENDED or status is SagaStatus.FAILED]

#: How many sagas are read at a time: with all their payloads, they must fit into memory.
BATCH = 25


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A plan that has live sagas: sagas that are under way or parked.

    Attributes:
        hash: its content hash.
        name: the name of its sagas.
        body: the plan as JSON, which this version may not be able to read.
        sagas: how many live sagas it has.
        parked: how many of them are parked.
    """

    hash: str
    name: str
    body: str
    sagas: int
    parked: int


@dataclass(frozen=True, slots=True)
class LiveSaga:
    """A live saga with its payloads as the record keeps them; ``outputs`` are by step."""

    state: SagaState
    input: str = field(repr=False)
    outputs: Mapping[str, str] = field(repr=False)


def live_plans(connection: Connection) -> list[LivePlan]:
    """Return the plans of live sagas, by name. The database counts the sagas."""
    query = select(t.saga.c.plan, t.saga.c.status, func.count()).where(t.saga.c.status.in_(LIVE))
    counts: dict[str, dict[str, int]] = {}
    for plan, status, number in connection.execute(query.group_by(t.saga.c.plan, t.saga.c.status)):
        counts.setdefault(plan, {})[status] = number
    plans = (
        row
        for some in chunked(counts)
        for row in connection.execute(select(t.plan).where(t.plan.c.hash.in_(some)))
    )
    return [
        LivePlan(
            row.hash,
            row.name,
            row.body,
            sum(counts[row.hash].values()),
            counts[row.hash].get(SagaStatus.FAILED, 0),
        )
        for row in sorted(plans, key=lambda plan: (plan.name, plan.hash))
    ]


def live_sagas_of(connection: Connection, plan_hash: str, *, limit: int) -> Sequence[UUID]:
    """Return the ids of live sagas of a plan, at most *limit*."""
    query = select(t.saga.c.id).where(t.saga.c.plan == plan_hash, t.saga.c.status.in_(LIVE))
    return connection.execute(query.limit(limit)).scalars().all()


def live_sagas(database: Database, plans: Mapping[str, Plan]) -> Iterator[LiveSaga]:
    """Return the live sagas of these plans, by their hashes; a small batch is read at a time."""
    for status in LIVE:
        last: UUID | None = None
        while batch := database.read(partial(_batch, status=status, last=last)):
            last = batch[-1][0].id
            for row, steps in batch:
                if (plan := plans.get(row.plan)) is not None:
                    outputs = {step.name: step.output for step in steps if step.output is not None}
                    yield LiveSaga(state_of(row, steps, plan), row.input, outputs)


def _batch(
    connection: Connection, *, status: SagaStatus, last: UUID | None
) -> list[tuple[Row[Any], list[Row[Any]]]]:
    query = select(t.saga, now().label("now")).where(t.saga.c.status == status)
    if last is not None:
        query = query.where(t.saga.c.id > last)
    rows = connection.execute(query.order_by(t.saga.c.id).limit(BATCH)).all()
    steps: dict[UUID, list[Row[Any]]] = {row.id: [] for row in rows}
    # Whether a worker still holds a step does not matter here.
    attended = t.step.c.claim.is_not(None).label("attended")
    of_these = select(t.step, attended).where(t.step.c.saga_id.in_(steps))
    for step in connection.execute(of_these):
        steps[step.saga_id].append(step)
    return [(row, steps[row.id]) for row in rows]
