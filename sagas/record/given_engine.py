"""The engine that an application makes for the record (``saga_engine``): what it must be."""

import inspect
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, Pool, StaticPool, event

from sagas.errors import ConfigurationError
from sagas.sql import is_mariadb

__all__ = ["take_engine"]

_NEEDED = "READ COMMITTED"

_left: list[Pool] = []


def take_engine(factory: Callable[[], Any], prepare: Callable[[Engine], None]) -> Engine:
    """Call *factory* for an engine, let *prepare* set on it what the record needs, and check it.

    What only a connection shows is checked when it connects: transactions, at READ COMMITTED.

    Raises:
        ConfigurationError: the record cannot use what it returned.
    """
    engine = _checked(factory())
    # A process that was forked may get the engine of its parent, whose connections it must neither
    # use nor close; and a connection that is there already was not prepared. The pool is kept,
    # because garbage collection would close its connections.
    _left.append(engine.pool)
    engine.dispose(close=False)
    engine.hide_parameters = True  # payloads do not belong in errors and logs
    prepare(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _refuse_memory)
    else:
        event.listen(engine, "connect", _checks_of(engine))
    return engine


def _checked(made: Any) -> Engine:
    if inspect.iscoroutine(made):
        made.close()  # it is never awaited
    if not isinstance(made, Engine):
        raise _refused(
            f"returned {type(made).__name__}",
            "Let it return an Engine, made by sqlalchemy.create_engine() with a synchronous driver "
            "such as postgresql+psycopg.",
        )
    if made.dialect.name not in ("postgresql", "sqlite") and not is_mariadb(made.dialect):
        raise _refused(
            f"returned an engine for {made.dialect.name}",
            "The record needs PostgreSQL, MariaDB or SQLite.",
        )
    if isinstance(made.pool, StaticPool):
        raise _refused(
            "returned an engine with StaticPool, one connection for all threads",
            "Use QueuePool, which is the default, or NullPool.",
        )
    level = made.get_execution_options().get("isolation_level", _NEEDED)
    if made.dialect.name != "sqlite" and level != _NEEDED:
        raise _wrong_level(level)
    return made


def _checks_of(engine: Engine) -> Callable[[Any, Any], None]:
    def check(connection: Any, _: Any) -> None:
        if is_mariadb(engine.dialect):
            autocommit = connection.get_autocommit()
        else:
            autocommit = connection.autocommit
        level = "AUTOCOMMIT" if autocommit else engine.dialect.get_isolation_level(connection)
        if level != _NEEDED:
            connection.close()
            raise _wrong_level(level)
        connection.rollback()  # the question began a transaction

    return check


def _refuse_memory(connection: Any, _: Any) -> None:
    if not connection.execute("PRAGMA database_list").fetchone()[2]:
        connection.close()
        raise _refused(
            "returned an engine for an in-memory SQLite database, which processes do not share",
            "Use a file.",
        )


def _wrong_level(level: str) -> ConfigurationError:
    return _refused(
        f"returned an engine whose connections are at isolation level {level}",
        f'Make it with create_engine(…, isolation_level="{_NEEDED}").',
    )


def _refused(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"saga_engine {what}, which the record cannot use. {remedy}")
