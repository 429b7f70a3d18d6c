"""A caller's connection, where a saga joins its transaction: what it must be, and its errors."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sagas.errors import ConfigurationError
from sagas.record.database import transient
from sagas.record.lost_server import sqlstate
from sagas.sql import commits_each_statement, error_code

__all__ = ["all_or_none", "explained", "require_transaction", "savepoint", "sees_new_plans"]


def require_transaction(connection: Connection) -> None:
    """Check that what is written on the caller's connection waits for the caller's commit.

    Raises:
        ConfigurationError: the connection is at isolation level AUTOCOMMIT.
    """
    if connection.dialect.name == "sqlite" and not connection.in_transaction():
        # An application may send SQLite's BEGIN itself, by an event: it does so only now.
        connection.exec_driver_sql("SELECT 1")
    if commits_each_statement(connection):
        raise ConfigurationError(
            "start(session=…) was given a session at isolation level AUTOCOMMIT: each statement "
            "commits by itself, so saga and business row could not commit together. Nothing was "
            "started. Use an engine without AUTOCOMMIT for this session, or start without session."
        )


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Undo what the block did if it raises; what it raises is what the caller sees."""
    nested = connection.begin_nested()
    try:
        yield
    except BaseException:
        # A deadlock on MariaDB ends the transaction, savepoints and all: to return to one fails,
        # and this failure must not hide the deadlock.
        with suppress(SQLAlchemyError):
            nested.rollback()
        raise
    nested.commit()


def all_or_none(connection: Connection) -> AbstractContextManager[None]:
    """Return a ``savepoint`` that leaves the commit to the caller on SQLite as well."""
    own = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and not getattr(own, "in_transaction", True):
        # Python's driver begins a transaction only with the first INSERT. A savepoint before it
        # would be a transaction by itself: its release would commit what the caller rolls back.
        connection.exec_driver_sql("BEGIN")
    return savepoint(connection)


def sees_new_plans(connection: Connection) -> bool:
    """Tell whether the caller's transaction can refer to a plan that is committed now.

    On SQLite it may be in the way of the commit. On PostgreSQL at REPEATABLE READ and above, a
    transaction that has begun sees only what was committed before.
    """
    if connection.dialect.name != "postgresql":
        return connection.dialect.name != "sqlite"
    info = getattr(connection.connection.dbapi_connection, "info", None)
    begun = getattr(info, "transaction_status", 1) != _IDLE
    return not begun or connection.get_isolation_level() == "READ COMMITTED"


#: The transaction status of libpq for a connection that is in no transaction.
_IDLE = 0


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Add to a database error of the block that the caller must repeat the whole transaction."""
    try:
        yield
    except DBAPIError as error:
        if transient(error):
            error.add_detail(
                f"{what} was not started: {_reason(error)}. The transaction is the caller's: roll "
                "it back and run all of it again."
            )
        raise


def _reason(error: DBAPIError) -> str:
    if sqlstate(error.orig) == "40P01" or error_code(error.orig) == _MARIADB_DEADLOCK:
        return "the database ended a deadlock between this transaction and another one"
    return "the database interrupted the transaction"


_MARIADB_DEADLOCK = 1213
