"""Where the record is, and how a caller's connection reaches it whatever schema it works in.

An application may keep each tenant in a schema of its own, by ``schema_translate_map`` or by
``search_path``. The record is in one schema: a saga that joins such a session is written there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, select, text
from sqlalchemy.exc import DBAPIError

from sagas.errors import WrongDatabase
from sagas.record import tables as t
from sagas.record.callers import savepoint
from sagas.record.database import transient

__all__ = ["Place", "in_record", "place_of", "record_id"]


@dataclass(frozen=True, slots=True)
class Place:
    """The record's identity, None where there is none; its URL; and its schema on PostgreSQL."""

    id: UUID | None
    url: URL
    schema: str | None = None


def record_id(connection: Connection) -> UUID | None:
    """Return the identity of the record in this database, or None where there is no record."""
    return connection.execute(select(t.record.c.id)).scalar_one_or_none()


def place_of(connection: Connection) -> Place:
    """Return where the record is that this connection sees."""
    schema = None
    if connection.dialect.name == "postgresql":
        schema = connection.scalar(_SCHEMA)
    return Place(record_id(connection), connection.engine.url, schema)


_SCHEMA = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE pg_class.oid = to_regclass('saga_record')"
)


#: SQLAlchemy's own entry in a map that has None.
_NONE = "_none"


@contextmanager
def in_record(connection: Connection, place: Place) -> Iterator[None]:
    """Have the block's statements on a caller's connection reach the record's tables.

    Raises:
        WrongDatabase: they cannot, so the two could not commit together.
    """
    theirs = connection.get_execution_options().get("schema_translate_map") or {}
    if None not in theirs and _sees(connection, place):
        yield
        return
    connection.execution_options(schema_translate_map={**theirs, None: place.schema})
    try:
        if not _sees(connection, place):
            raise WrongDatabase(_difference(connection, place, theirs))
        yield
    finally:
        connection.execution_options(schema_translate_map=theirs)


def _sees(connection: Connection, place: Place) -> bool:
    try:
        with savepoint(connection):  # a failed SELECT must not spoil the caller's transaction
            found = record_id(connection)
    except DBAPIError as error:
        if transient(error):  # it says nothing about which database this is
            raise
        return False
    return found is not None and found == place.id


def _difference(connection: Connection, place: Place, theirs: dict[Any, Any]) -> str:
    here = connection.engine.url
    shown = here.render_as_string(hide_password=True)
    end = (
        "Saga and business row could not commit together, and nothing was started. Use a session "
        "on the record's database, or start without session."
    )
    if here != place.url:
        return (
            f"start(session=…) was given a session on {shown}, which is not the database of the "
            f"record (saga_database_url). {end}"
        )
    own = {name: schema for name, schema in theirs.items() if name != _NONE}
    facts = [f"schema_translate_map = {own}"] if own else []
    if place.schema:
        user = connection.scalar(text("SELECT current_user"))
        facts += [
            f"the record is in the schema {place.schema!r}",
            f"the session's search_path is {connection.scalar(text('SHOW search_path'))!r}",
            f"its user {user!r} needs USAGE on that schema, and the rights of the record's user",
        ]
    else:
        facts.append("the same name may mean another file in another directory")
    return (
        f"start(session=…) was given a session on {shown}, the URL of the record "
        f"(saga_database_url), but it does not see the record: {'; '.join(facts)}. {end}"
    )
