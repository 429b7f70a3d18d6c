"""A service's own database: a schema of PostgreSQL, or a file of SQLite.

No service reads the tables of another.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from typing import Any, TypeVarTuple, cast

from sqlalchemy import (
    BigInteger,
    CursorResult,
    Dialect,
    Engine,
    MetaData,
    Numeric,
    Row,
    Select,
    Update,
    create_engine,
    event,
)
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSchema
from sqlalchemy.types import TypeDecorator, TypeEngine

from celeryconfig import database_url
from sagas import barrier

__all__ = ["Database", "Money", "matched"]

Columns = TypeVarTuple("Columns")


class Database:
    """The tables and the transactions of one service."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.metadata = MetaData()

    @property
    def engine(self) -> Engine:
        """The engine of this process, made at first use."""
        return _engine(database_url(self.service), os.getpid())

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction; commit at the end of the block, or roll back on any error."""
        with Session(self.engine) as session, session.begin():
            yield session

    def read(self, statement: Select[*Columns]) -> Sequence[Row[*Columns]]:
        """Return all rows of a query, read in a transaction of its own."""
        with self.begin() as session:
            return session.execute(statement).all()

    def dispose(self) -> None:
        """Close the connections of this process."""
        self.engine.dispose()

    def create(self) -> None:
        """Create the tables of the service and of its barrier if they are missing."""
        if self.engine.dialect.name == "postgresql":
            with self.engine.begin() as connection:
                connection.execute(CreateSchema(self.service, if_not_exists=True))
        self.metadata.create_all(self.engine)
        barrier.create_tables(self.engine)


def matched(session: Session, statement: Update) -> bool:
    """Run an UPDATE; tell whether exactly one row met its condition."""
    result = cast("CursorResult[Any]", session.execute(statement))
    return result.rowcount == 1


class Money(TypeDecorator[Decimal]):
    """A Decimal with two places; SQLite, which would store a float, gets whole cents."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | int | None:
        """Write a Decimal."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value * 100)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read a Decimal."""
        if value is None or dialect.name != "sqlite":
            return cast("Decimal | None", value)
        return Decimal(value).scaleb(-2)


# One engine per process: a connection used on both sides of a fork may answer the wrong side. The
# parent's engine stays in the child's cache, so that the child never closes connections that the
# parent still uses.
@cache
def _engine(url: str, _pid: int) -> Engine:
    # A worker's child does one thing at a time: one connection is kept, more are made as needed.
    engine = create_engine(url, pool_size=1, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions
    # In milliseconds: a slow disk must cost no attempt. Less than the timeout of every step.
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Any) -> None:
    # Lock first: a transaction that has read may find that it can no longer write.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
