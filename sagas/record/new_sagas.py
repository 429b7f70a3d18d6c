"""Inserting sagas that are all new, with their first entries of the history, in one statement."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Float,
    Text,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql

from sagas.record import tables as t
from sagas.record.starts import AT_FIRST, NewSaga
from sagas.sql import Id, now
from sagas.states import SagaStatus

__all__ = ["insert_new"]


def insert_new(
    connection: Connection, sagas: Sequence[NewSaga], *, lease_s: float, delay_s: float
) -> datetime | None:
    """Insert sagas of one plan and return the moment.

    Returns None where that is not possible: not on PostgreSQL, the record does not have the plan,
    some have steps that are skipped, or some exist already. In the last case those that are new
    were inserted.
    """
    if connection.dialect.name != "postgresql" or any(new.skipped for new in sagas):
        return None
    plan = sagas[0].plan
    in_order = sorted(sagas, key=lambda new: new.key)  # two who start the same do not deadlock
    values = {
        "ids": [new.id for new in in_order],
        "keys": [new.key for new in in_order],
        "inputs": [new.input for new in in_order],
        "of_name": plan.name,
        "of_plan": plan.hash,
        "of_turn": sagas[0].turn(delayed=delay_s > 0),
        "by": sagas[0].actor,
        "due_in_s": delay_s or lease_s,
        "overdue_in_s": plan.deadline_s and delay_s + plan.deadline_s,
    }
    statement = _statement(delayed=delay_s > 0, has_deadline=plan.deadline_s is not None)
    row = connection.execute(statement, values).one()
    moment: datetime | None = row.at
    return moment if row.inserted == len(sagas) else None


@lru_cache
def _statement(*, delayed: bool, has_deadline: bool) -> Executable:
    given: dict[str, tuple[str, Any]] = {
        "id": ("ids", Id),
        "key": ("keys", Text()),
        "input": ("inputs", Text()),
    }
    arrays: list[Any] = [
        bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in given.values()
    ]
    new = func.unnest(*arrays).table_valued(*given, name="new").render_derived()
    columns: dict[str, Any] = {
        **{name: new.c[name] for name in given},
        **{name: _given(f"of_{name}", t.saga.c[name]) for name in ("name", "plan", "turn")},
        **{name: literal(value, t.saga.c[name].type) for name, value in AT_FIRST.items()},
        "started_at": now(),
        "due_at": now(bindparam("due_in_s", type_=Float)),
    }
    if not delayed:
        columns["sent_at"] = now()
    if has_deadline:
        columns["deadline_at"] = now(bindparam("overdue_in_s", type_=Float))
    known = exists().where(t.plan.c.hash == columns["plan"])
    rows = select(*columns.values()).select_from(new).where(known)
    inserted = (
        postgresql.insert(t.saga)
        .from_select([*columns], rows)
        .on_conflict_do_nothing()
        .returning(t.saga.c.id, t.saga.c.started_at)
        .cte("inserted")
    )
    entry = {
        "saga_id": inserted.c.id,
        "at": inserted.c.started_at,
        "epoch": literal(1),
        "event": literal(SagaStatus.STARTED, t.history.c.event.type),
        "actor": _given("by", t.history.c.actor),
    }
    history = insert(t.history).from_select([*entry], select(*entry.values())).cte("history")
    count = func.count().label("inserted")
    latest = func.max(inserted.c.started_at).label("at")
    return select(count, latest).select_from(inserted).add_cte(history)


def _given(name: str, column: Any) -> Any:
    return bindparam(name, type_=column.type)
