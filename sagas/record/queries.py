"""Reading the record: one saga, its steps and history, and lists of sagas."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Text, func, or_, select, type_coerce

from sagas.decision import AttemptError, Blocked, Parked, Resolved, SagaFailure
from sagas.errors import PlanUnreadable
from sagas.events import Event
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.sql import before_now, chunked
from sagas.states import ENDED, SagaStatus, StepStatus

__all__ = [
    "HistoryEntry",
    "SagaView",
    "StepView",
    "count_by_status",
    "ended_among",
    "find_sagas",
    "history_of",
    "input_of",
    "output_of",
    "saga_by_id",
    "saga_by_key",
    "sagas_by_prefix",
    "steps_of",
]


@dataclass(frozen=True, slots=True)
class SagaView:
    """One saga as the record has it now; moments are aware, in UTC.

    Attributes:
        id: the saga's id.
        name: the name of its plan.
        key: its business key.
        status: where it stands.
        epoch: its fencing number.
        failure: what made it turn back: step, type, message and code.
        parked: why it is parked, and at which steps.
        blocked: why it cannot go on without a deploy or a repair.
        resolved: who ended it by hand, and why.
        deadline_at: when it turns back unless it has ended.
        started_at: when it was started.
        ended_at: when it ended or was parked.
        superseded: 0 for the saga that has the key; those that had it before, and were compensated,
            are numbered from 1.
    """

    id: UUID
    name: str
    key: str
    status: SagaStatus
    epoch: int
    failure: SagaFailure | None
    parked: Parked | None
    blocked: Blocked | None
    resolved: Resolved | None
    deadline_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    superseded: int = 0


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a saga as the record has it now.

    Attributes:
        name: the step's name in the plan.
        status: where it stands.
        attempt: how many attempts of the action were claimed.
        compensation_attempt: how many attempts of the compensation were claimed.
        losses: how many attempts of the action were lost with their worker.
        compensation_losses: how many attempts of the compensation were.
        postponements: how many attempts of the action ended with ``RetryAfter``.
        compensation_postponements: how many attempts of the compensation did.
        output: what the action returned, as JSON without secrets.
        error: how the last attempt of the action ended, if badly.
        compensation_error: the same for the compensation.
        hostname: the node name of the worker that holds the step, or held it last.
        task_id: the id of that worker's Celery task.
        retry_at: when the next attempt is due.
        started_at: when the last attempt of the action was claimed.
        ended_at: when it ended.
        compensation_started_at: when the last attempt of the compensation was claimed.
        compensation_ended_at: when it ended.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    compensation_attempt: int = 0
    losses: int = 0
    compensation_losses: int = 0
    postponements: int = 0
    compensation_postponements: int = 0
    output: str | None = field(default=None, repr=False)
    error: AttemptError | None = None
    compensation_error: AttemptError | None = None
    hostname: str | None = None
    task_id: str | None = None
    retry_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    compensation_started_at: datetime | None = None
    compensation_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of the append-only history: what happened, to which step, and who did it.

    Attributes:
        id: rises with time.
        at: when it happened, by the database's clock, in UTC.
        epoch: the saga's epoch from then on.
        event: what happened.
        step: the step that it happened to; None if it concerns the whole saga.
        operation: "action" or "compensation".
        attempt: the number of the attempt.
        actor: who did it: an application, a worker, a sweep, an operator.
        detail: more, depending on the event: an error, a reason.
    """

    id: int
    at: datetime
    epoch: int
    event: Event
    step: str | None
    operation: str | None
    attempt: int | None
    actor: str
    detail: Mapping[str, Any] | None


_SAGA = select(*(t.saga.c[name] for name in SagaView.__dataclass_fields__))


def _saga(row: Row[Any] | None) -> SagaView | None:
    if row is None:
        return None
    return SagaView(**{**row._asdict(), "status": SagaStatus(row.status)})


def saga_by_id(connection: Connection, saga_id: UUID) -> SagaView | None:
    """Return the saga with this id."""
    return _saga(connection.execute(_SAGA.where(t.saga.c.id == saga_id)).one_or_none())


def saga_by_key(connection: Connection, name: str, key: str) -> SagaView | None:
    """Return the saga with this name that has the business key now."""
    if not _storable(name, key):
        return None
    query = _SAGA.where(t.saga.c.name == name, t.saga.c.key == key, t.saga.c.superseded == 0)
    return _saga(connection.execute(query).one_or_none())


def find_sagas(  # noqa: PLR0913 - an argument for each filter
    connection: Connection,
    *,
    key: str | None = None,
    status: SagaStatus | None = None,
    name: str | None = None,
    code: str | None = None,
    blocked: bool = False,
    older_than_s: float | None = None,
    younger_than_s: float | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Sequence[SagaView]:
    """Return the sagas that match everything given, the newest first, at most *limit*.

    Their age, in seconds, counts from their start. *code*: only those that turned back with this
    error code, or have a step with it. *blocked*: only those that need a deploy or a repair.
    *before*: only those started before this one, for the next page.
    """
    wanted = {"key": key, "status": status, "name": name}
    if not _storable(key or "", name or "", code or ""):
        return []
    query = _SAGA.where(*(t.saga.c[n] == value for n, value in wanted.items() if value is not None))
    if code is not None:
        query = query.where(_has_code(code))
    if before is not None:
        query = query.where(t.saga.c.id < before)
    if blocked:
        query = query.where(t.saga.c.due_at.is_not(None), t.saga.c.blocked.is_not(None))
    if older_than_s is not None:
        query = query.where(t.saga.c.started_at < before_now(older_than_s))
    if younger_than_s is not None:
        query = query.where(t.saga.c.started_at > before_now(younger_than_s))
    rows = connection.execute(query.order_by(t.saga.c.id.desc()).limit(limit))
    return [view for row in rows if (view := _saga(row))]


def _has_code(code: str) -> ColumnElement[bool]:
    # A quote within a text is escaped, so this is the code and nothing else.
    written = f'"code": {json.dumps(code)}'

    def names_it(column: ColumnElement[Any]) -> ColumnElement[bool]:
        return type_coerce(column, Text).contains(written, autoescape=True)

    errors = (t.step.c.error, t.step.c.compensation_error)
    of_step = select(t.step.c.name).where(t.step.c.saga_id == t.saga.c.id)
    return or_(names_it(t.saga.c.failure), of_step.where(or_(*map(names_it, errors))).exists())


def sagas_by_prefix(connection: Connection, prefix: str, *, limit: int) -> Sequence[SagaView]:
    """Return the sagas whose ids begin like this, with or without hyphens, at most *limit*."""
    digits = prefix.replace("-", "").lower()
    if re.fullmatch("[0-9a-f]{1,32}", digits) is None:
        return []
    lowest, highest = (UUID(digits.ljust(32, filler)) for filler in "0f")
    rows = connection.execute(_SAGA.where(t.saga.c.id.between(lowest, highest)).limit(limit))
    return [view for row in rows if (view := _saga(row))]


def _storable(*texts: str) -> bool:
    """Tell whether a row can contain these texts: drivers refuse others in a query."""
    return all(text.isprintable() for text in texts)


def ended_among(connection: Connection, saga_ids: Sequence[UUID]) -> dict[UUID, SagaStatus]:
    """Return the final status of each of the sagas that has ended."""
    ended = select(t.saga.c.id, t.saga.c.status).where(t.saga.c.status.in_(ENDED))
    queries = (ended.where(t.saga.c.id.in_(some)) for some in chunked(saga_ids))
    rows = (row for query in queries for row in connection.execute(query))
    return {row.id: SagaStatus(row.status) for row in rows}


def count_by_status(connection: Connection) -> Mapping[SagaStatus, int]:
    """Return how many sagas stand at each status; a status without sagas is left out."""
    query = select(t.saga.c.status, func.count()).group_by(t.saga.c.status)
    return {SagaStatus(status): count for status, count in connection.execute(query)}


def steps_of(connection: Connection, saga_id: UUID) -> Sequence[StepView]:
    """Return every step of a saga in the order of its plan; an unclaimed one is PENDING.

    If this version cannot read the plan, it returns the claimed steps in no particular order.
    """
    body = connection.execute(_PLAN_OF.where(t.saga.c.id == saga_id)).scalar_one_or_none()
    if body is None:
        return []
    rows = connection.execute(_STEP.where(t.step.c.saga_id == saga_id))
    known = {row.name: _step(row) for row in rows}
    try:
        plan = Plan.from_json(body)
    except PlanUnreadable:
        return list(known.values())
    return [known.get(step.name) or StepView(step.name) for step in plan]


def input_of(connection: Connection, saga_id: UUID) -> str | None:
    """Return the input of a saga as the record keeps it, or None if there is no such saga."""
    query = select(t.saga.c.input).where(t.saga.c.id == saga_id)
    return connection.execute(query).scalar_one_or_none()


def output_of(connection: Connection, saga_id: UUID, step: str) -> str | None:
    """Return the output of a step as the record keeps it, or None if it has none."""
    query = select(t.step.c.output).where(t.step.c.saga_id == saga_id, t.step.c.name == step)
    return connection.execute(query).scalar_one_or_none()


_PLAN_OF = select(t.plan.c.body).select_from(t.saga.join(t.plan))
_STEP = select(*(t.step.c[name] for name in StepView.__dataclass_fields__))


def _step(row: Row[Any]) -> StepView:
    return StepView(**{**row._asdict(), "status": StepStatus(row.status)})


def history_of(connection: Connection, saga_id: UUID) -> Sequence[HistoryEntry]:
    """Return the history of a saga, the oldest entry first."""
    query = select(*(t.history.c[name] for name in HistoryEntry.__dataclass_fields__))
    rows = connection.execute(query.where(t.history.c.saga_id == saga_id).order_by(t.history.c.id))
    return [HistoryEntry(**{**row._asdict(), "event": Event(row.event)}) for row in rows]
