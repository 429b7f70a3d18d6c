"""Figures about all sagas: how many stand where, how long they take, what waits for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, func, select

from sagas.plan import Plan
from sagas.record import tables as t
from sagas.sql import before_now
from sagas.states import ENDED, SagaStatus

__all__ = ["Stats", "live_plans", "stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """How the sagas of a record are doing.

    Attributes:
        counts: saga name -> status -> how many.
        parked: how many wait for a person.
        overdue: how many should have been looked at a lease ago, and were not: does a worker run?
        workers: how many workers gave a sign of life within a lease.
        ended_last_hour: how many ended within the last hour.
        p50_s: of those, half took at most so many seconds; None where there are none.
        p95_s: the same for 95 of 100.
    """

    counts: Mapping[str, Mapping[SagaStatus, int]]
    parked: int
    overdue: int
    workers: int
    ended_last_hour: int
    p50_s: float | None
    p95_s: float | None


#: Durations are taken from so many sagas that ended last, so the question stays cheap.
_SAMPLE = 10_000


def stats(connection: Connection, *, lease_s: float) -> Stats:
    """Return the figures of this moment."""
    counts: dict[str, dict[SagaStatus, int]] = {}
    query = select(t.saga.c.name, t.saga.c.status, func.count())
    for name, status, number in connection.execute(
        query.group_by(t.saga.c.name, t.saga.c.status).order_by(t.saga.c.name)
    ):
        counts.setdefault(name, {})[SagaStatus(status)] = number
    took_s = _took_s(connection)
    return Stats(
        counts=counts,
        parked=sum(by_status.get(SagaStatus.FAILED, 0) for by_status in counts.values()),
        overdue=_count(connection, t.saga, t.saga.c.due_at < before_now(lease_s)),
        workers=_count(connection, t.worker, t.worker.c.heartbeat_at >= before_now(lease_s)),
        ended_last_hour=_count(connection, t.saga, t.saga.c.ended_at >= before_now(3600)),
        p50_s=_quantile(took_s, 0.50),
        p95_s=_quantile(took_s, 0.95),
    )


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(condition)
    return int(connection.execute(query).scalar_one())


def _took_s(connection: Connection) -> Sequence[float]:
    query = (
        select(t.saga.c.started_at, t.saga.c.ended_at)
        .where(t.saga.c.ended_at >= before_now(3600))
        .order_by(t.saga.c.id.desc())
        .limit(_SAMPLE)
    )
    rows = connection.execute(query)
    return sorted((row.ended_at - row.started_at).total_seconds() for row in rows)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


def live_plans(connection: Connection) -> list[tuple[Plan, Sequence[UUID]]]:
    """Return the plans of sagas that have not ended, or are parked, each with those sagas."""
    done = [status for status in ENDED if status is not SagaStatus.FAILED]
    query = select(t.saga.c.id, t.saga.c.plan).where(t.saga.c.status.not_in(done))
    sagas: dict[str, list[UUID]] = {}
    for row in connection.execute(query.order_by(t.saga.c.id)):
        sagas.setdefault(row.plan, []).append(row.id)
    bodies = select(t.plan.c.hash, t.plan.c.body).where(t.plan.c.hash.in_(sagas))
    return [(Plan.from_json(row.body), sagas[row.hash]) for row in connection.execute(bodies)]
