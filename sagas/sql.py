"""What means the same on every database: column types, the clock, an INSERT that gives way.

The databases are PostgreSQL, SQLite and MariaDB. MariaDB answers to two names, by the URL that an
application chose: ``mariadb+pymysql://`` and ``mysql+pymysql://`` are the same here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Dialect, Table, Text, Uuid, insert
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "EXACT",
    "Document",
    "Id",
    "Instant",
    "JsonText",
    "after_now",
    "before_now",
    "chunked",
    "error_code",
    "insert_missing",
    "insert_unless_there",
    "is_mariadb",
    "now",
    "statement_now",
]

T = TypeVar("T")

_MARIADB = ("mariadb", "mysql")

#: Options of every table: on MariaDB, whatever its defaults, text holds every character and is
#: compared as on the other databases. Its usual collations take "a" for "A" and for "a ".
EXACT: dict[str, Any] = {
    f"{name}_{option}": value
    for name in _MARIADB
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_nopad_bin",
    }.items()
}

#: A UUID. On MariaDB its hexadecimal digits, which sort by time in every version, as its own type
#: for them does not, and which mean the same under both names of the dialect.
Id = Uuid().with_variant(Uuid(native_uuid=False), *_MARIADB)

#: Text of any length: MariaDB's TEXT ends at 64 KiB.
Document = Text().with_variant(mysql.LONGTEXT(), *_MARIADB)


def is_mariadb(dialect: Dialect) -> bool:
    """Tell whether the database is MariaDB, under either name."""
    return dialect.name in _MARIADB


def error_code(error: BaseException | None) -> int | None:
    """Return the number that MariaDB gives to an error of its driver; None for other databases."""
    code = error.args[0] if error is not None and error.args else None
    return code if isinstance(code, int) else None


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep microseconds, which MariaDB drops unless it is told."""
        return mysql.DATETIME(fsp=6) if is_mariadb(dialect) else self.impl_instance

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

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Set no limit to its length."""
        return mysql.LONGTEXT() if is_mariadb(dialect) else self.impl_instance

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


class statement_now(FunctionElement[datetime]):  # noqa: N801 - likewise
    """The moment at which the statement began: a constant, for which an index can be searched."""

    type = Instant()
    inherit_cache = True


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


@compiles(now, *_MARIADB)
def _now_mariadb(element: now, compiler: SQLCompiler, **options: Any) -> str:
    # Only SYSDATE moves while a statement waits for a lock, and it is in the time zone of whoever
    # asks, which may be a caller's connection: so it gives no moment here, but a distance.
    waited = "INTERVAL TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) MICROSECOND"
    if not len(element.clauses):
        return f"(UTC_TIMESTAMP(6) + {waited})"
    offset = compiler.process(element.clauses, **options)
    return f"(UTC_TIMESTAMP(6) + {waited} + INTERVAL {offset} SECOND)"


@compiles(statement_now, "postgresql")
def _statement_now_postgresql(_: statement_now, __: SQLCompiler, **___: Any) -> str:
    return "statement_timestamp()"


@compiles(statement_now, "sqlite")
def _statement_now_sqlite(_: statement_now, compiler: SQLCompiler, **options: Any) -> str:
    return _now_sqlite(now(), compiler, **options)  # 'now' is constant within a statement


@compiles(statement_now, *_MARIADB)
def _statement_now_mariadb(_: statement_now, __: SQLCompiler, **___: Any) -> str:
    return "UTC_TIMESTAMP(6)"


#: How many values one statement lists. Databases limit them, and PostgreSQL its parse depth.
CHUNK = 300


def chunked(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Return the values in pieces that are short enough for one statement."""
    rest = iter(values)
    while chunk := tuple(islice(rest, CHUNK)):
        yield chunk


def insert_unless_there(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless the table has one with a key of its own; tell whether it was inserted.

    A transaction that inserted the same key and is not over yet is waited for.

    Raises:
        NotImplementedError: the database is none that the record supports.
    """
    if is_mariadb(connection.dialect):
        return _insert_or_fail(connection, table, row)
    # Without this SQLAlchemy does not ask for the count that tells whether the row gave way.
    counted = _giving_way(connection, table).values(row).execution_options(preserve_rowcount=True)
    return bool(connection.execute(counted).rowcount == 1)


def insert_missing(
    connection: Connection, table: Table, common: Mapping[str, Any], rows: Sequence[Any]
) -> None:
    """Insert rows unless the table has one with a key of theirs; *common* are columns of all.

    Which were inserted is to be read afterwards. Otherwise as ``insert_unless_there``.
    """
    if is_mariadb(connection.dialect):
        statement: Any = mysql.insert(table)
        statement = statement.on_duplicate_key_update(id=table.c.id)  # which changes nothing
    else:
        statement = _giving_way(connection, table)
    connection.execute(statement.values(common), rows)


def _giving_way(connection: Connection, table: Table) -> Any:
    match connection.dialect.name:
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case other:
            raise NotImplementedError(f"No INSERT that gives way is known for {other}.")


def _insert_or_fail(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    # INSERT IGNORE would hide other errors too, and ON DUPLICATE KEY UPDATE counts one row either
    # way under the flag that SQLAlchemy connects with. A statement that fails undoes itself only.
    try:
        connection.execute(insert(table).values(row))
    except IntegrityError as error:
        if error_code(error.orig) != _DUPLICATE_KEY:
            raise
        return False
    return True


_DUPLICATE_KEY = 1062
