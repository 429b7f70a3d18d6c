"""Putting a new saga into the record, in whichever transaction the caller is in."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from sagas.errors import KeyConflict, WrongDatabase
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.plans import Plans
from sagas.sql import after_now, insert_unless_there, now
from sagas.states import SagaStatus, StepStatus

__all__ = ["NewSaga", "insert_saga", "record_id", "require_same_record"]


@dataclass(frozen=True, slots=True)
class NewSaga:
    """A saga that is not in the record yet; *input* is validated JSON."""

    id: UUID
    key: str
    plan: Plan
    input: str
    skipped: tuple[str, ...]
    actor: str
    # Tells whether two inputs are one: the same set, say, may be written in another order.
    same_input: Callable[[str, str], bool] = operator.eq


def insert_saga(connection: Connection, plans: Plans, new: NewSaga, *, lease_s: float) -> UUID:
    """Insert the saga, or find the one with this name, key and input; return its id.

    It is due after a lease: where the caller dies before the publish, a sweep sends it then.

    Raises:
        KeyConflict: the name and key are taken by a saga with another input.
    """
    found = _existing(connection, new)
    if found is not None:
        return found
    row = {
        "id": new.id,
        "name": new.plan.name,
        "key": new.key,
        "plan": plans.put(connection, new.plan),
        "status": SagaStatus.STARTED,
        "epoch": 1,
        "input": new.input,
        "looks": 0,
    }
    moments = {"started_at": now(), "sent_at": now(), "due_at": after_now(lease_s)}
    if not insert_unless_there(connection, t.saga, {**row, **moments}):  # another one was first
        found = _existing(connection, new, locking=True)
        if found is None:
            raise AssertionError(f"Saga {new.plan.name} {new.key!r} is neither new nor there.")
        return found
    _first_entries(connection, new)
    return new.id


def _existing(connection: Connection, new: NewSaga, *, locking: bool = False) -> UUID | None:
    query = select(t.saga.c.id, t.saga.c.input).where(
        t.saga.c.name == new.plan.name, t.saga.c.key == new.key
    )
    if locking:  # it sees what was committed after the caller's transaction took its snapshot
        query = query.with_for_update(read=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if not new.same_input(row.input, new.input):
        raise KeyConflict(
            f"Saga {new.plan.name!r} with key {new.key!r} exists already ({row.id}), started "
            "with another input. Nothing was started. Use a new key for a new saga, or "
            "get(key=…) to look at the one that is there."
        )
    found: UUID = row.id
    return found


def _first_entries(connection: Connection, new: NewSaga) -> None:
    base = {"saga_id": new.id, "at": now(), "epoch": 1, "actor": new.actor}
    connection.execute(insert(t.history).values({**base, "event": SagaStatus.STARTED}))
    for name in new.skipped:
        connection.execute(
            insert(t.step).values(saga_id=new.id, name=name, status=StepStatus.SKIPPED)
        )
        entry = {**base, "event": StepStatus.SKIPPED, "step": name, "operation": "action"}
        connection.execute(insert(t.history).values(entry))


def record_id(connection: Connection) -> UUID | None:
    """Return the identity of the record in this database, or None where there is no record."""
    return connection.execute(select(t.record.c.id)).scalar_one_or_none()


def require_same_record(connection: Connection, expected: UUID | None) -> None:
    """Check that the caller's connection sees the record whose identity is *expected*.

    Raises:
        WrongDatabase: it is on another database, so the two could not commit together.
    """
    try:
        with connection.begin_nested():  # a failed SELECT must not spoil the caller's transaction
            found = record_id(connection)
    except DBAPIError:
        found = None
    if found is None or found != expected:
        here = connection.engine.url.render_as_string(hide_password=True)
        raise WrongDatabase(
            f"start(session=…) was given a session on {here}, which is not the database of the "
            "record (saga_database_url). Saga and business row could not commit together, and "
            "nothing was started. Use a session on the record's database, or start without session."
        )
