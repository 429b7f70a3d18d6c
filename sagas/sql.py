"""What behaves alike on every database: column types, the clock, inserts that skip existing rows.

The databases are PostgreSQL, SQLite and MariaDB. MariaDB's dialect has two names, one for each form
of its URL: ``mariadb+pymysql://`` and ``mysql+pymysql://``. Both are treated alike.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, DateTime, Dialect, Table, Text, Uuid, insert
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from sagas.hidden import Hidden

__all__ = [
    "EXACT",
    "Document",
    "Id",
    "Instant",
    "JsonText",
    "PayloadText",
    "after_now",
    "before_now",
    "chunked",
    "commits_each_statement",
    "error_code",
    "insert_if_absent",
    "insert_missing",
    "is_mariadb",
    "now",
    "statement_now",
]

T = TypeVar("T")

_MARIADB = ("mariadb", "mysql")

#: Options of every table. On MariaDB, whatever its defaults, they make text hold every character
#: and compare as on the other databases; its usual collations treat "a", "A" and "a " as equal.
EXACT: dict[str, Any] = {
    f"{name}_{option}": value
    for name in _MARIADB
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_nopad_bin",
    }.items()
}

#: A UUID. MariaDB stores its hexadecimal digits: unlike its own UUID type, they sort by time in
#: every version and mean the same under both names of the dialect.
Id = Uuid().with_variant(Uuid(native_uuid=False), *_MARIADB)

#: Text of any length; MariaDB's TEXT is limited to 64 KiB.
Document = Text().with_variant(mysql.LONGTEXT(), *_MARIADB)


def is_mariadb(dialect: Dialect) -> bool:
    """Tell whether the database is MariaDB, under either name."""
    return dialect.name in _MARIADB


def commits_each_statement(connection: Connection) -> bool:
    """Tell whether the connection is in AUTOCOMMIT, whoever put it there; it is in a transaction.

    SQLAlchemy has a transaction then all the same, which commits and rolls back nothing.
    """
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        # Without a level of the driver an application may still begin by an event of its own.
        level, autocommit = getattr(raw, "isolation_level", ""), getattr(raw, "autocommit", False)
        manual = level is None or autocommit is True
        return manual and not getattr(raw, "in_transaction", True)
    if (ask := getattr(raw, "get_autocommit", None)) is not None:  # the drivers of MariaDB
        return bool(ask())
    return getattr(raw, "autocommit", False) is True


def error_code(error: BaseException | None) -> int | None:
    """Return MariaDB's number for an error of its driver; None for other databases."""
    code = error.args[0] if error is not None and error.args else None
    return code if isinstance(code, int) else None


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep microseconds, which MariaDB drops by default."""
        return mysql.DATETIME(fsp=6) if is_mariadb(dialect) else self.impl_instance

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive moments: they mean different times on different machines."""
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
    """A small JSON object of the engine's own, stored as text; payloads are not decoded."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Allow any length on MariaDB too."""
        return mysql.LONGTEXT() if is_mariadb(dialect) else self.impl_instance

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        """Write the object with its keys in order."""
        del dialect
        return None if value is None else json.dumps(value, sort_keys=True, default=str)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read the object."""
        del dialect
        return None if value is None else json.loads(value)


class PayloadText(TypeDecorator[str]):
    """A payload, which no row shows: its ``repr`` hides the text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Set no limit to its length."""
        return mysql.LONGTEXT() if is_mariadb(dialect) else self.impl_instance

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Hide the text."""
        del dialect
        return None if value is None else Hidden(value)


class now(FunctionElement[datetime]):  # noqa: N801 - named like a function of SQL
    """The database's clock, which advances within a transaction, plus *offset_s* if it is given."""

    type = Instant()
    inherit_cache = True

    def __init__(self, offset_s: float | ColumnElement[float] | None = None) -> None:
        if isinstance(offset_s, int | float):
            offset_s = literal(float(offset_s))
        super().__init__(*([] if offset_s is None else [offset_s]))


class statement_now(FunctionElement[datetime]):  # noqa: N801 - likewise
    """The moment at which the statement began: a constant, so that an index can be used."""

    type = Instant()
    inherit_cache = True


def after_now(seconds: float) -> now:
    """Return the moment *seconds* from now, by the database's clock."""
    return now(seconds)


def before_now(seconds: float) -> now:
    """Return the moment *seconds* ago, by the database's clock."""
    return now(-seconds)


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    if not len(element.clauses):
        return "clock_timestamp()"
    offset = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {offset}))"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite has milliseconds, but SQLAlchemy reads and writes six digits.
    now_text = "strftime('%Y-%m-%d %H:%M:%f000', 'now'"
    if not len(element.clauses):
        return f"{now_text})"
    offset = compiler.process(element.clauses, **options)
    return f"{now_text}, {offset} || ' seconds')"


@compiles(now, *_MARIADB)
def _now_mariadb(element: now, compiler: SQLCompiler, **options: Any) -> str:
    # Only SYSDATE advances while a statement waits for a lock. It is in the connection's time zone,
    # and the connection may be a caller's, so only the difference of two moments is used.
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


def insert_if_absent(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless its key exists already; tell whether it was inserted.

    Waits for any open transaction that has inserted the same key.

    Raises:
        NotImplementedError: the record does not support this database.
    """
    if is_mariadb(connection.dialect):
        return _insert_on_mariadb(connection, table, row)
    # Without this option, SQLAlchemy does not fetch the count of inserted rows.
    statement = _insert_ignoring_conflicts(connection, table).values(row)
    counted = statement.execution_options(preserve_rowcount=True)
    return bool(connection.execute(counted).rowcount == 1)


def insert_missing(
    connection: Connection, table: Table, common: Mapping[str, Any], rows: Sequence[Any]
) -> None:
    """Insert the rows whose keys do not exist yet; *common* are columns that all of them share.

    Read the rows afterwards to learn which were inserted. Otherwise like ``insert_if_absent``.
    """
    if is_mariadb(connection.dialect):
        statement: Any = mysql.insert(table)
        statement = statement.on_duplicate_key_update(id=table.c.id)  # which changes nothing
    else:
        statement = _insert_ignoring_conflicts(connection, table)
    connection.execute(statement.values(common), rows)


def _insert_ignoring_conflicts(connection: Connection, table: Table) -> Any:
    match connection.dialect.name:
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case other:
            raise NotImplementedError(f"No INSERT that ignores conflicts is known for {other}.")


def _insert_on_mariadb(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    # INSERT IGNORE would hide other errors too. ON DUPLICATE KEY UPDATE counts one row either way,
    # given the flags with which SQLAlchemy connects. A failed statement undoes only itself.
    try:
        connection.execute(insert(table).values(row))
    except IntegrityError as error:
        if error_code(error.orig) != _DUPLICATE_KEY:
            raise
        return False
    return True


_DUPLICATE_KEY = 1062
