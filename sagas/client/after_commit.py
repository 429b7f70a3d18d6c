"""Running an action once the caller's transaction has committed."""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Dialect, Pool, event

__all__ = ["after_commit"]

_PENDING = "saga_after_commit"

_watched: WeakSet[Dialect | Pool] = WeakSet()


def after_commit(connection: Connection, action: Callable[[], object]) -> None:
    """Run *action* right after the connection's transaction has committed.

    A rollback discards it, and so does a commit that fails. It may still run after a savepoint
    around it was rolled back, so it must be harmless for rows that were never committed.
    """
    _watch(connection)
    connection.info.setdefault(_PENDING, []).append(action)


def _watch(connection: Connection) -> None:
    # On the connection itself: engines with different options share a pool, but not their events.
    if not event.contains(connection, "rollback", _rolled_back):
        event.listen(connection, "rollback", _rolled_back)
        event.listen(connection, "rollback_twophase", _rolled_back)
    pool = connection.engine.pool
    if pool not in _watched:
        _watched.add(pool)
        event.listen(pool, "checkin", _returned)
    if connection.dialect not in _watched:
        _watched.add(connection.dialect)
        _watch_commits(connection.dialect)


def _watch_commits(dialect: Dialect) -> None:
    # SQLAlchemy reports a commit before it happens, and nothing after it: a caller may keep the
    # connection for long, so its return to the pool comes too late. The dialect belongs to one
    # engine, and all commits of that engine go through these two methods.
    commit, commit_twophase = dialect.do_commit, dialect.do_commit_twophase

    def do_commit(connection: Any) -> None:
        actions = _taken(connection)
        commit(connection)
        _run(actions)

    def do_commit_twophase(connection: Connection, *arguments: Any, **options: Any) -> None:
        actions = _taken(connection)
        commit_twophase(connection, *arguments, **options)
        _run(actions)

    dialect.do_commit = do_commit  # type: ignore[assignment, method-assign]
    dialect.do_commit_twophase = do_commit_twophase  # type: ignore[method-assign]


def _taken(connection: Any) -> list[Callable[[], object]]:
    # Before the commit: where it fails, SQLAlchemy reports no rollback, and the next transaction
    # must not find them.
    actions: list[Callable[[], object]] = connection.info.pop(_PENDING, [])
    return actions


def _run(actions: list[Callable[[], object]]) -> None:
    for action in actions:
        action()


def _rolled_back(connection: Connection, *_: Any) -> None:
    connection.info.pop(_PENDING, None)


def _returned(_: Any, record: Any) -> None:
    record.info.pop(_PENDING, None)
