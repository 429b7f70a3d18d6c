"""Errors by which a server says that it serves the record no more, though the connection lives on.

After a failover or a switchover the old primary often lives on as a read-only server. Connections
to it stay open, so no driver notices that they lead to the wrong place.
"""

from sagas.sql import error_code

__all__ = ["server_is_lost", "sqlstate"]

#: A server that is read-only, and one that goes down or ends idle sessions.
_SQLSTATES = frozenset({"25006", "57P01", "57P02", "57P03", "57P05"})

#: The class of connection exceptions: a pooler reports the loss of its own server like this.
_CONNECTION_EXCEPTION = "08"

#: The same on MariaDB and MySQL: a read-only server, transaction, table, mode or InnoDB (1290,
#: 1792, 1036, 1836, 1874), a Galera node outside its cluster (1047), a server that goes down
#: (1053), and a connection that was killed or lost (1927, 2006, 2013, 4031).
_CODES = frozenset({1036, 1047, 1053, 1290, 1792, 1836, 1874, 1927, 2006, 2013, 4031})

#: SQLite's primary result code for a file that was made read-only, moved or replaced.
_SQLITE_READONLY = 8


def server_is_lost(error: BaseException | None) -> bool:
    """Tell whether another connection, made now, may lead to a server that accepts the write."""
    state = sqlstate(error) or ""
    if state in _SQLSTATES or state.startswith(_CONNECTION_EXCEPTION):
        return True
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_READONLY:
        return True
    return error_code(error) in _CODES


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a PostgreSQL driver's error; psycopg2 calls it ``pgcode``."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
