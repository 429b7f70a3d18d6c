"""What means the same on every database: column types, the clock, an INSERT that gives way."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

__all__ = ["Instant", "JsonText", "after_now", "before_now", "insert_or_ignore", "now"]


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive moments, which mean another time on another machine."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: give an aware datetime.")
        if value is not None and dialect.name != "postgresql":
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware moment in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(TypeDecorator[Mapping[str, Any]]):
    """A small JSON object of the engine's own, as text; payloads stay as pydantic wrote them."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        """Write the object, keys in order."""
        del dialect
        return None if value is None else json.dumps(value, sort_keys=True, default=str)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read the object."""
        del dialect
        return None if value is None else json.loads(value)


class now(FunctionElement[datetime]):  # noqa: N801 - it reads as the SQL function that it is
    """The database's clock, moving within a transaction, or a moment some seconds away from it."""

    type = Instant()
    inherit_cache = True

    def __init__(self, offset_s: float | None = None) -> None:
        super().__init__(*([] if offset_s is None else [literal(float(offset_s))]))


def after_now(seconds: float) -> now:
    """Return the moment so many seconds from now, by the database's clock."""
    return now(seconds)


def before_now(seconds: float) -> now:
    """Return the moment so many seconds ago, by the database's clock."""
    return now(-seconds)


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    if not len(element.clauses):
        return "clock_timestamp()"
    offset = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {offset}))"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite gives milliseconds; SQLAlchemy reads and writes six digits.
    now_text = "strftime('%Y-%m-%d %H:%M:%f000', 'now'"
    if not len(element.clauses):
        return f"{now_text})"
    offset = compiler.process(element.clauses, **options)
    return f"{now_text}, {offset} || ' seconds')"


def insert_or_ignore(connection: Connection, table: Table) -> Any:
    """Return an INSERT whose row is dropped where the table has one with a key of its own.

    Its ``rowcount`` is then 0, and otherwise 1.

    A transaction that inserted the same key and is not over yet is waited for.

    Raises:
        NotImplementedError: the database is none that the record supports.
    """
    match connection.dialect.name:
        case "postgresql":
            statement: Any = postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            statement = sqlite.insert(table).on_conflict_do_nothing()
        case other:
            raise NotImplementedError(f"No INSERT that gives way is known for {other}.")
    # Without this SQLAlchemy does not ask for the count that tells whether the row gave way.
    return statement.execution_options(preserve_rowcount=True)
