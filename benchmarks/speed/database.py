"""What PostgreSQL did for one database, though others use the server at the same time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psutil
from psycopg import Connection

from benchmarks.speed.processes import cpu_s

__all__ = ["Watch", "Written", "watch"]

# A record belongs to this database if it names one of its blocks, or if its transaction has written
# such a record. Images of whole pages are left out: how many there are depends on the checkpoints.
_WRITTEN = """
WITH records AS MATERIALIZED (
    SELECT xid, resource_manager, record_type, record_length - fpi_length AS bytes,
           coalesce(block_ref LIKE %(block)s, false) AS is_here
    FROM pg_get_wal_records_info(%(since)s, %(till)s)
), transactions AS (
    SELECT DISTINCT xid FROM records WHERE is_here AND xid <> '0'
)
SELECT count(*) FILTER (WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'),
       coalesce(sum(bytes), 0)
FROM records
WHERE is_here OR xid IN (SELECT xid FROM transactions)
"""

_RETAIN = "SELECT pg_create_physical_replication_slot(%(slot)s, true, true)"

_UPDATES = "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables"

_BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Written(NamedTuple):
    """What was written to the log between two moments."""

    commits: int
    bytes: int


class Watch:
    """Looks at one database, by a connection that writes nothing meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._used_s: dict[int, float] = {}
        row = self._row("SELECT oid FROM pg_database WHERE datname = current_database()")
        self._block = f"% rel %/{row[0]}/%"

    def moment(self) -> str:
        """Return the end of the log as it is on disk."""
        return str(self._row("SELECT pg_current_wal_flush_lsn()")[0])

    def written(self, since: str) -> Written:
        """Return what the database's transactions have written since that moment."""
        values = {"block": self._block, "since": since, "till": self.moment()}
        commits, size = self._row(_WRITTEN, values)
        return Written(int(commits), int(size))

    def cpu_s(self) -> float:
        """Return the CPU time that the server's processes for the clients have used, in seconds.

        Of a process that has ended, it is as much as the last look has seen.
        """
        for (pid,) in self._connection.execute(_BACKENDS).fetchall():
            with suppress(psutil.NoSuchProcess):
                used_s = cpu_s([psutil.Process(pid)])  # 0 if it ends at this moment
                self._used_s[pid] = max(used_s, self._used_s.get(pid, 0.0))
        return sum(self._used_s.values())

    def hot_share(self) -> float | None:
        """Return the share of updates that touched no index; None where nothing was updated.

        The clients must have disconnected: the server learns of the last updates only then.
        """
        updated, hot = self._row(_UPDATES)
        return float(hot / updated) if updated else None

    def _row(self, query: str, values: dict[str, str] | None = None) -> tuple[Any, ...]:
        row = self._connection.execute(query, values).fetchone()
        assert row is not None, query
        return row


@contextmanager
def watch(conninfo: str) -> Iterator[Watch]:
    """Watch a database while the block runs."""
    with Connection.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_walinspect")
        # A temporary slot, which ends with the connection: a checkpoint must not remove what is
        # still to be read.
        connection.execute(_RETAIN, {"slot": f"bench_{os.getpid()}"})
        yield Watch(connection)
