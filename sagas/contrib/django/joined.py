"""SQLAlchemy connections on Django's own: in its transactions, which only Django ends."""

import weakref
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from sqlalchemy import Connection, Engine, NullPool, event
from sqlalchemy.engine import URL

from sagas.contrib.django.drivers import driver_of

__all__ = ["join", "join_shared"]

#: By alias and driver: an engine caches its compiled statements. It holds no connections.
_engines: dict[tuple[str, str], Engine] = {}

#: By connection of Django: the shared one of its transaction, while that is open.
_shared: "WeakKeyDictionary[Any, weakref.ref[_Joined]]" = WeakKeyDictionary()


class _Joined:
    """A connection in Django's transaction, from now until Django commits it or rolls it back."""

    def __init__(self, using: str) -> None:
        self.connection = _engine(using).connect()
        # Django has no hook for a rollback, but drops the callbacks that wait for the commit, even
        # where a savepoint is rolled back. One of them holds the last reference to this.
        weakref.finalize(self, self.connection.close).atexit = False
        transaction.on_commit(self._committed, using=using)

    def _committed(self) -> None:
        # Commits nothing, but tells everybody who waits for this connection's commit.
        self.connection.commit()


def join(using: str) -> Connection:
    """Return a connection in the transaction of a Django connection, which is in an atomic block.

    Its statements belong to Django's transaction. When Django commits, it reports a commit of its
    own; when Django rolls back, or returns to a savepoint around this call, it reports a rollback.
    """
    connections[using].validate_no_broken_transaction()
    return _Joined(using).connection


def join_shared(using: str) -> Connection:
    """Return the same, but one connection for all calls in the same transaction."""
    django = connections[using]
    django.validate_no_broken_transaction()
    found = _shared.get(django)
    joined = found() if found is not None else None
    if joined is None or joined.connection.closed or not joined.connection.in_transaction():
        joined = _Joined(using)
        _shared[django] = weakref.ref(joined)
    return joined.connection


def _engine(using: str) -> Engine:
    driver = driver_of(connections[using])
    if (using, driver) not in _engines:
        _engines[using, driver] = _new_engine(using, driver)
    return _engines[using, driver]


def _new_engine(using: str, driver: str) -> Engine:
    url = URL.create(driver, database=str(connections[using].settings_dict["NAME"]))
    cls: Any = url.get_dialect()
    options = {"use_native_hstore": False} if url.get_backend_name() == "postgresql" else {}
    dialect = cls(dbapi=cls.import_dbapi(), **options)
    for name in ("do_begin", "do_commit", "do_rollback", "do_close", "do_terminate"):
        setattr(dialect, name, _leave_to_django)
    # Not by create_engine(), which would change settings and functions of Django's connection.
    pool = NullPool(lambda: connections[using].connection, dialect=dialect, reset_on_return=None)
    engine = Engine(pool, dialect, url, hide_parameters=True)
    if driver == "postgresql+psycopg":
        event.listen(engine, "before_cursor_execute", _read_aware_moments)
    with engine.connect() as connection:
        dialect.initialize(connection)
    return engine


def _leave_to_django(_: Any) -> None:
    """Leave the transaction and the connection as they are."""


def _read_aware_moments(_: Connection, cursor: Any, *__: Any) -> None:
    # Without USE_TZ, Django's connection cuts the time zone off what it reads.
    from psycopg.types.datetime import TimestamptzLoader  # noqa: PLC0415 - only with this driver

    cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
