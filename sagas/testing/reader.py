"""Reading the sagas of a record, in chunks that are consistent snapshots."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from celery import Celery
from sqlalchemy import Connection, Row, Select, Table, Text, select, type_coerce

from sagas.events import Event
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.queries import HistoryEntry
from sagas.runtime.app import runtime_of
from sagas.sql import JsonText, now
from sagas.states import ENDED, SagaStatus, StepStatus
from sagas.testing.model import BY_HAND, Effect, Observed

__all__ = ["EndedRow", "Record", "changes_since", "ended_rows", "observe"]

Record: TypeAlias = Database | str | Celery
T = TypeVar("T")

#: How many sagas are read in one transaction.
_CHUNK = 1_000


def observe(
    record: Record, effects: Mapping[UUID, Sequence[Effect]] | None = None
) -> Iterator[Observed]:
    """Yield every saga of a record with its effects, the oldest saga first.

    Each thousand is read in one snapshot, so sagas may go on in the meantime.

    Raises:
        RecordNotReady: the tables are missing.
    """
    plans: dict[str, tuple[Plan, str]] = {}
    with _database_of(record) as database:
        for chunk in _chunks(database, lambda c, rows: _observed(c, rows, plans, effects)):
            yield from chunk


@contextmanager
def _database_of(record: Record) -> Iterator[Database]:
    if isinstance(record, Database):
        yield record
    elif not isinstance(record, str):
        yield runtime_of(record).database
    else:
        database = Database(record)
        try:
            yield database
        finally:
            database.dispose()


def _chunks(database: Database, work: Callable[[Connection, Sequence[Row[Any]]], T]) -> Iterator[T]:
    after: UUID | None = None

    def read(connection: Connection) -> tuple[UUID, T] | None:
        query = _SAGAS if after is None else _SAGAS.where(t.saga.c.id > after)
        rows = connection.execute(query).all()
        return (rows[-1].id, work(connection, rows)) if rows else None

    while (chunk_read := database.snapshot(read)) is not None:
        after, result = chunk_read
        yield result


_SAGAS = select(t.saga, now().label("now")).order_by(t.saga.c.id).limit(_CHUNK)
_HISTORY = select(t.history.c.saga_id, *(t.history.c[n] for n in HistoryEntry.__dataclass_fields__))
_STEPS = select(t.step.c.saga_id, t.step.c.name, t.step.c.status, t.step.c.retry_at)
_ALERTS = select(t.alert.c.saga_id, t.alert.c.epoch).where(t.alert.c.kind == "parked")


def _observed(
    connection: Connection,
    sagas: Sequence[Row[Any]],
    plans: dict[str, tuple[Plan, str]],
    effects: Mapping[UUID, Sequence[Effect]] | None,
) -> list[Observed]:
    steps = _by_saga(connection, _STEPS, t.step, sagas)
    history = _by_saga(connection, _HISTORY.order_by(t.history.c.id), t.history, sagas)
    alerts = _by_saga(connection, _ALERTS, t.alert, sagas)
    _load_plans(connection, {row.plan for row in sagas} - plans.keys(), plans)
    return [
        Observed(
            **{name: getattr(row, name) for name in ("id", "name", "key", "epoch")},
            status=SagaStatus(row.status),
            plan=plans[row.plan][0],
            steps={step.name: StepStatus(step.status) for step in steps[row.id]},
            history=[_entry(entry) for entry in history[row.id]],
            alerts=[alert.epoch for alert in alerts[row.id]],
            effects=None if effects is None else effects.get(row.id, ()),
            waits=_waits(row, steps[row.id]),
            plan_id=row.plan,
            plan_hash=plans[row.plan][1],
        )
        for row in sagas
    ]


def _entry(row: Row[Any]) -> HistoryEntry:
    values = {name: getattr(row, name) for name in HistoryEntry.__dataclass_fields__}
    return HistoryEntry(**{**values, "event": Event(row.event)})


def _by_saga(
    connection: Connection, query: Select[Any], table: Table, sagas: Sequence[Row[Any]]
) -> Mapping[UUID, list[Row[Any]]]:
    # The ids are contiguous in the index: a range replaces a thousand parameters.
    of_these = table.c.saga_id.between(sagas[0].id, sagas[-1].id)
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query.where(of_these)):
        found[row.saga_id].append(row)
    return found


def _load_plans(
    connection: Connection, wanted: Iterable[str], plans: dict[str, tuple[Plan, str]]
) -> None:
    query = select(t.plan.c.hash, t.plan.c.body).where(t.plan.c.hash.in_(list(wanted)))
    for row in connection.execute(query):
        # Hash the stored text: an older version's plan, loaded and dumped, would have other fields.
        body = hashlib.sha256(row.body.encode()).hexdigest()
        plans[row.hash] = (Plan.from_json(row.body), body)


def _waits(saga: Row[Any], steps: Iterable[Row[Any]]) -> bool:
    if saga.status in ENDED or saga.due_at is None or saga.due_at <= saga.now:
        return False
    # The first message of a delayed start raises the epoch, so in epoch 1 its timer still runs.
    delayed = saga.status == SagaStatus.STARTED and saga.sent_at is None and saga.epoch == 1
    return delayed or any(step.retry_at and step.retry_at > saga.now for step in steps)


@dataclass(frozen=True, slots=True)
class EndedRow:
    """A saga that has ended: its status, a digest of its rows, and how often operators acted."""

    status: SagaStatus
    digest: str
    by_hand: int


def ended_rows(record: Record) -> Mapping[UUID, EndedRow]:
    """Return the rows of each saga that has ended, for a later comparison.

    Pass them to ``violations`` as ``since`` after anything that must not change an ended saga, such
    as a message that is late, repeated or forged.
    """
    found: dict[UUID, EndedRow] = {}
    with _database_of(record) as database:
        for chunk in _chunks(database, _ended):
            found |= chunk
    return found


def _ended(connection: Connection, sagas: Sequence[Row[Any]]) -> dict[UUID, EndedRow]:
    texts = {table: _by_saga(connection, query, table, sagas) for table, query in _TEXTS.items()}
    own = connection.execute(_OWN_TEXT.where(t.saga.c.id.in_([row.id for row in sagas])))
    rows = {row.id: row for row in own}
    return {
        row.id: EndedRow(
            SagaStatus(row.status),
            _digest([rows[row.id], *(line for table in texts.values() for line in table[row.id])]),
            sum(line.step is None and line.event in BY_HAND for line in texts[t.history][row.id]),
        )
        for row in sagas
        if row.status in ENDED
    }


def _as_text(table: Table, *, without: Collection[str] = ()) -> Select[Any]:
    """Select the columns as stored: different texts may be the same JSON."""
    return select(
        *(
            type_coerce(column, Text).label(column.name)
            if isinstance(column.type, JsonText)
            else column
            for column in table.c
            if column.name not in without
        )
    )


#: A later saga may take the key of one that has ended, and nothing else of it.
_OWN_TEXT = _as_text(t.saga, without=("superseded",))
_TEXTS = {
    t.step: _as_text(t.step).order_by(t.step.c.name),
    t.history: _as_text(t.history).order_by(t.history.c.id),
}


def _digest(rows: Iterable[Row[Any]]) -> str:
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


def changes_since(record: Record, since: Mapping[UUID, EndedRow]) -> Iterator[tuple[UUID, str]]:
    """Yield the changes to sagas that had ended; operators may change a parked one."""
    rows = ended_rows(record)
    for saga_id, before in since.items():
        after = rows.get(saga_id)
        parked = before.status is SagaStatus.FAILED
        if after is None:
            if not parked:
                yield saga_id, f"it was {before.status}, but is under way again"
        elif after.digest != before.digest and not (parked and after.by_hand > before.by_hand):
            yield saga_id, f"it was {before.status}, but its rows have changed since"
