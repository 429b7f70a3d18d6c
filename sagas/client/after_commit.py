"""Running an action once the caller's transaction has committed."""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Pool, event

__all__ = ["after_commit"]

_PENDING = "saga_after_commit"
_COMMITTED = "saga_committed"

_watched: WeakSet[Pool] = WeakSet()


def after_commit(connection: Connection, action: Callable[[], object]) -> None:
    """Run *action* when the connection goes back to its pool after a commit.

    SQLAlchemy reports a commit before it happens, and the connection's return right after it: the
    two together mark the moment, for a Session as for a Connection. A rollback discards the action.
    If the commit itself fails, the action may still run, so it must be harmless for a transaction
    that was never committed.
    """
    _watch(connection)
    connection.info.setdefault(_PENDING, []).append(action)


def _watch(connection: Connection) -> None:
    # On the connection itself: engines with different options share a pool, but not their events.
    if not event.contains(connection, "commit", _committing):
        event.listen(connection, "commit", _committing)
        event.listen(connection, "rollback", _rolled_back)
    pool = connection.engine.pool
    if pool not in _watched:
        _watched.add(pool)
        event.listen(pool, "checkin", _returned)


def _committing(connection: Connection) -> None:
    pending = connection.info.pop(_PENDING, [])
    if pending:
        connection.info.setdefault(_COMMITTED, []).extend(pending)


def _rolled_back(connection: Connection) -> None:
    connection.info.pop(_PENDING, None)


def _returned(_: Any, record: Any) -> None:
    record.info.pop(_PENDING, None)
    for action in record.info.pop(_COMMITTED, []):
        action()
