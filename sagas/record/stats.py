"""Figures about all sagas: how many have which status, how long they take, what needs a person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, func, select

from sagas.record import tables as t
from sagas.sql import before_now
from sagas.states import SagaStatus

__all__ = ["Stats", "stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """How the sagas of a record are doing.

    Attributes:
        counts: saga name -> status -> how many.
        parked: how many wait for a person.
        blocked: how many need a deploy or a repair.
        blocked_queues: queue -> how many blocked sagas have a message for it that nobody runs.
        overdue: how many have been due for more than a lease: does a worker run?
        workers: how many workers sent a heartbeat within a lease.
        ended_last_hour: how many ended within the last hour.
        p50_s: the median duration of those, in seconds; None if there are none.
        p95_s: the duration that 95% of those did not exceed, in seconds.
    """

    counts: Mapping[str, Mapping[SagaStatus, int]]
    parked: int
    blocked: int
    blocked_queues: Mapping[str, int]
    overdue: int
    workers: int
    ended_last_hour: int
    p50_s: float | None
    p95_s: float | None


#: Durations come from the latest sagas only, so that the query stays cheap.
_SAMPLE = 10_000


def stats(connection: Connection, *, lease_s: float) -> Stats:
    """Return the current figures."""
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
        blocked=_count(connection, t.saga, _BLOCKED),
        blocked_queues=_blocked_queues(connection),
        overdue=_count(connection, t.saga, t.saga.c.due_at < before_now(lease_s)),
        workers=_count(connection, t.worker, t.worker.c.heartbeat_at >= before_now(lease_s)),
        ended_last_hour=_count(connection, t.saga, t.saga.c.ended_at >= before_now(3600)),
        p50_s=_quantile(took_s, 0.50),
        p95_s=_quantile(took_s, 0.95),
    )


_BLOCKED = t.saga.c.due_at.is_not(None) & t.saga.c.blocked.is_not(None)


def _blocked_queues(connection: Connection) -> Mapping[str, int]:
    rows = connection.execute(select(t.saga.c.blocked).where(_BLOCKED).limit(_SAMPLE))
    return Counter(queue for row in rows if (queue := row.blocked.get("queue")))


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
