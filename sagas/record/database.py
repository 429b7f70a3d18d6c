"""One SQLAlchemy engine per process, and transactions that survive a database that hiccups."""

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError

from sagas.errors import ConfigurationError, RecordNotReady
from sagas.forking import before_fork
from sagas.record.engine_options import connect_args, pool_options, refuse_async, without_typed
from sagas.record.given_engine import take_engine
from sagas.record.lost_server import server_is_lost, sqlstate
from sagas.sql import error_code, is_mariadb

__all__ = ["Database", "create_record_engine", "transient"]

T = TypeVar("T")

#: No transaction of the record stays idle, or waits for a lock, longer than this.
_STALL_LIMIT_S = 5

#: Serialization failure, deadlock, too many clients, and a transaction or a lock that took too
#: long.
_TRANSIENT_SQLSTATES = frozenset({"40001", "40P01", "53300", "25P03", "25P04", "55P03"})

#: The same on MariaDB: a row that changed, too many clients, a lock that took too long, a deadlock.
_TRANSIENT_CODES = frozenset({1020, 1040, 1203, 1205, 1213})


class Database:
    """The record's database, as one process sees it.

    The engine is made at first use, and again after a fork: the child neither uses nor closes an
    inherited connection, because either would write to the parent's socket.
    """

    def __init__(
        self,
        url: str | URL | None,
        *,
        patience_s: float = 3.0,
        options: Mapping[str, Any] | None = None,
        factory: Callable[[], Any] | None = None,
    ) -> None:
        self.url = url
        self._options = options or {}
        #: Returns the engine in place of the URL.
        self._factory = factory
        self._patience_s = patience_s
        #: By process, since garbage collection would close the connections of the parent's engine.
        self._made: dict[int, dict[str, Engine]] = {}
        before_fork(self._close_sqlite)

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self._begins["PLAIN"]

    @property
    def _begins(self) -> dict[str, Engine]:
        """The engine of this process, by how its transactions begin."""
        pid = os.getpid()
        if (made := self._made.get(pid)) is None:
            # Where two threads come here at once, one engine counts: none has a connection yet.
            made = self._made.setdefault(pid, self._new_engines())
        return made

    def _new_engines(self) -> dict[str, Engine]:
        engine = self._new_engine()
        immediate, deferred = (
            engine.execution_options(saga_begin=mode) for mode in ("IMMEDIATE", "DEFERRED")
        )
        return {
            "PLAIN": engine,
            "IMMEDIATE": immediate,
            "DEFERRED": deferred,
            "SNAPSHOT": _snapshot_engine(deferred),
            "AT_ONCE": engine.execution_options(isolation_level="AUTOCOMMIT"),
        }

    def _new_engine(self) -> Engine:
        if self._factory is not None:
            return take_engine(self._factory, _prepare)
        return create_record_engine(self.url or "", self._options)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in one transaction and commit it; retry on transient errors.

        It is retried after a lost connection, a deadlock or a locked file, for a few seconds at
        most. The commit of an earlier try may have succeeded, so *work* must be conditional.

        Raises:
            RecordNotReady: the tables are missing, or older than this package.
            sqlalchemy.exc.DBAPIError: the error is not transient, or lasts.
        """
        return self._with_retries(lambda: self._once("IMMEDIATE", work))

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        """Run *work*, which is one statement, and commits by itself; otherwise as ``write``."""
        return self._with_retries(lambda: self._once("AT_ONCE", work))

    @property
    def runs_on_postgresql(self) -> bool:
        """Whether one statement can write several tables."""
        return self.engine.dialect.name == "postgresql"

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in one transaction that writes nothing; errors as in ``write``."""
        return self._with_retries(lambda: self._once("DEFERRED", work))

    def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run *work* as ``read`` does; all its statements see the database at one moment."""
        return self._with_retries(lambda: self._once("SNAPSHOT", work))

    def _once(self, begin: str, work: Callable[[Connection], T]) -> T:
        with self._begins[begin].begin() as connection:
            return work(connection)

    def _with_retries(self, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience_s
        wait_s = 0.02
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                _explain_outdated_tables(error)
                if not transient(error) or time.monotonic() + wait_s > deadline:
                    raise
            time.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2, 0.5)

    def _close_sqlite(self) -> None:
        made = self._made.get(os.getpid())
        if made is not None and made["PLAIN"].dialect.name == "sqlite":
            self.dispose()

    def dispose(self) -> None:
        """Close the connections of this process."""
        if (made := self._made.get(os.getpid())) is not None:
            made["PLAIN"].dispose()


def _snapshot_engine(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine  # every transaction is a snapshot there
    return engine.execution_options(isolation_level="REPEATABLE READ")


def transient(error: DBAPIError) -> bool:
    """Tell whether the same transaction may succeed if it is tried again in a moment."""
    if error.connection_invalidated or server_is_lost(error.orig):
        return True
    if sqlstate(error.orig) in _TRANSIENT_SQLSTATES:
        return True
    if error_code(error.orig) in _TRANSIENT_CODES:
        return True
    if not isinstance(error, OperationalError):
        return False
    # A failed attempt to connect has no SQLSTATE; a busy SQLite file is reported only in words.
    text = str(error.orig).lower()
    return any(sign in text for sign in ("locked", "busy", "connect", "closed", "timeout"))


def _explain_outdated_tables(error: DBAPIError) -> None:
    missing = isinstance(error, ProgrammingError | OperationalError)
    if missing and _MISSING.search(str(error.orig)):
        raise RecordNotReady(
            "The record's tables are missing in this database, or of another version of "
            "celery-sagas. Create or upgrade them with: sagas -A <your app> db upgrade"
        ) from error


#: How SQLite, PostgreSQL and MariaDB report a missing table or column of the record. The table's
#: name alone does not tell: the message of a deadlock has it too. Of a column, MariaDB does not say
#: whose it is.
_MISSING = re.compile(
    r"no such (table|column): saga"
    r"|table saga\w* has no column"
    r'|relation "saga\w*" does not exist'
    r'|column saga\w*\.\w+ does not exist|column "\w+" of relation "saga\w*" does not exist'
    r"|Table '.*\.saga\w*' doesn't exist"
    r"|Unknown column '"
)


def create_record_engine(url: str | URL, options: Mapping[str, Any] | None = None) -> Engine:
    """Make the record's engine: a bounded pool, READ COMMITTED, SQLite in WAL mode.

    *options* are those of ``saga_database_options``.

    Raises:
        ConfigurationError: the URL or an option cannot be used, or the driver is not installed.
    """
    try:
        parsed = make_url(url)
        refuse_async(parsed)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_engine(parsed, options or {})
        return _server_engine(parsed, options or {})
    except (SQLAlchemyError, ImportError, OSError, TypeError, ValueError) as error:
        # Not every Exception: a step's time limit may run out while its engine is made.
        raise ConfigurationError(
            f"saga_database_url cannot be used ({error}). Give a SQLAlchemy URL such as "
            "postgresql+psycopg://user@host/database, mariadb+pymysql://user@host/database or "
            "sqlite:////var/lib/app/saga.db, and install its driver "
            "(pip install celery-sagas[postgres] or celery-sagas[mariadb])."
        ) from error


def _server_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    engine = create_engine(
        without_typed(url),
        isolation_level="READ COMMITTED",
        connect_args=connect_args(url, options),
        hide_parameters=True,  # payloads do not belong in errors and logs
        **pool_options(url, options),
    )
    _prepare(engine)
    return engine


def _prepare(engine: Engine) -> None:
    """Have the engine's connections and transactions set up as the record needs them."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "begin", _postgresql_begin)
    if is_mariadb(engine.dialect):
        event.listen(engine, "connect", _mariadb_connect)
    event.listen(engine, "handle_error", _leave_lost_server)


def _leave_lost_server(context: ExceptionContext) -> None:
    # A disconnect in SQLAlchemy's sense: every pooled connection made before it is thrown away.
    if server_is_lost(context.original_exception):
        context.is_disconnect = True


#: One statement, so that a transaction needs one more round trip and not two.
_POSTGRESQL_LIMITS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :limit, true), "
    "set_config('lock_timeout', :limit, true)"
)


def _postgresql_begin(connection: Connection) -> None:
    # A process that is stopped or cut off in the middle of a transaction must not keep its sagas
    # locked against the workers that take them over. The limits are set for the transaction, not
    # for the session: behind a pooler, other applications share it. Readers lock nothing.
    if connection.get_execution_options().get("saga_begin") == "IMMEDIATE":
        connection.execute(_POSTGRESQL_LIMITS, {"limit": f"{_STALL_LIMIT_S}s"})


def _mariadb_connect(connection: Any, _: Any) -> None:
    if "MariaDB" not in connection.get_server_info():
        raise ConfigurationError(
            f"saga_database_url points to MySQL {connection.get_server_info()}. The record is not "
            "tested on MySQL, which lacks what it relies on there: idle_transaction_timeout and "
            "the collation utf8mb4_nopad_bin. Use MariaDB (10.6 or newer), PostgreSQL or SQLite."
        )
    # As on PostgreSQL. Besides, text that is too long is refused instead of truncated.
    settings = {
        "idle_transaction_timeout": _STALL_LIMIT_S,
        "innodb_lock_wait_timeout": _STALL_LIMIT_S,
        "lock_wait_timeout": _STALL_LIMIT_S,
        "sql_mode": "'TRADITIONAL'",
        "time_zone": "'+00:00'",
    }
    with connection.cursor() as cursor:
        cursor.execute("SET " + ", ".join(f"{name} = {value}" for name, value in settings.items()))


def _sqlite_engine(url: URL, options: Mapping[str, Any]) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ValueError("an in-memory SQLite database is not shared between processes")
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)  # SQLite makes no directory
    engine = create_engine(
        url,
        connect_args=connect_args(url, options),
        hide_parameters=True,
        **pool_options(url, options),
    )
    _prepare(engine)
    return engine


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions: see below
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    # A writer takes its lock at once: a transaction that has read could not wait for it.
    mode = connection.get_execution_options().get("saga_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
