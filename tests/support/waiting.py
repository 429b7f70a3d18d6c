"""Waiting for a condition with a deadline, and detecting a wait for a lock."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import NullPool, create_engine, text

__all__ = ["HANG_S", "wait_until", "waits_for_lock"]

#: A limit for hangs, in seconds. A wait ends with its condition, and only a hang reaches this
#: limit: however busy a machine is, nothing that works takes as long.
HANG_S = 600.0

_POLL_S = 0.01

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout_s: float = HANG_S, what: str = "") -> T:
    """Return the first true value of *condition*; fail when *timeout_s* passes without one."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition}; last: {value!r}")
        time.sleep(_POLL_S)
    return value


_WAITERS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    # Not innodb_trx, which returns its old contents to a query repeated within 0.1 s.
    "mysql": (
        "SELECT CAST(variable_value AS INTEGER) FROM information_schema.global_status "
        "WHERE variable_name = 'Innodb_row_lock_current_waits'"
    ),
}
_WAITERS["mariadb"] = _WAITERS["mysql"]


def waits_for_lock(url: str) -> bool:
    """Tell whether anyone on the database's server waits for a locked row."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return bool(connection.scalar(text(_WAITERS[engine.dialect.name])))
