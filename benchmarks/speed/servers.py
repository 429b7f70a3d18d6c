"""The servers that everyone is measured on: found on loopback, or named by the environment."""

import getpass
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

__all__ = ["NoServer", "Servers", "find_servers"]

_POSTGRES, _REDIS = "SAGAS_TEST_POSTGRES_URL", "SAGAS_TEST_REDIS_URL"
_MARIADB = "SAGAS_TEST_MARIADB_URL"


class NoServer(Exception):
    """A server is missing; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Servers:
    """A PostgreSQL server and perhaps a MariaDB, each by any of its databases; a Redis database."""

    postgres_url: str
    redis_url: str
    mariadb_url: str

    @contextmanager
    def postgres_database(self, settings: Iterable[str]) -> Iterator[str]:
        """Create a database with these settings, yield its URL, and drop it."""
        name = _new_name()
        _execute(self.postgres_url, f"CREATE DATABASE {name}")
        try:
            for setting in settings:
                _execute(self.postgres_url, f"ALTER DATABASE {name} SET {setting}")
            yield _in_database(self.postgres_url, name)
        finally:
            _execute(self.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def mariadb_database(self) -> Iterator[str]:
        """Create a database, yield its URL, and drop it."""
        name = _new_name()
        _execute(self.mariadb_url, f"CREATE DATABASE {name}")
        try:
            yield _in_database(self.mariadb_url, name)
        finally:
            _execute(self.mariadb_url, f"DROP DATABASE {name}")

    @contextmanager
    def empty_redis(self) -> Iterator[str]:
        """Yield the URL of the Redis database, which is emptied before and after."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()
            try:
                yield self.redis_url
            finally:
                client.flushdb()


def _new_name() -> str:
    return f"bench_{uuid.uuid4().hex}"


def _in_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


def find_servers() -> Servers:
    """Return the servers that the environment names, or else those at the standard ports.

    MariaDB is not looked for: only one variant needs it.

    Raises:
        NoServer: one of them is missing, or a Redis that was only found is in use.
    """
    default = f"postgresql+psycopg://{getpass.getuser()}@127.0.0.1:5432/postgres"
    return Servers(
        _postgres(os.environ.get(_POSTGRES) or default),
        _given_redis(given) if (given := os.environ.get(_REDIS)) else _found_redis(),
        os.environ.get(_MARIADB) or "mariadb+pymysql://root@127.0.0.1:3306/mysql",
    )


def _postgres(url: str) -> str:
    engine = create_engine(url, connect_args={"connect_timeout": 3}, poolclass=NullPool)
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    try:
        with engine.connect() as connection:
            is_superuser = connection.scalar(text(query))
    except OperationalError as error:
        raise NoServer(
            f"There is no PostgreSQL at {url}: start one, or set {_POSTGRES} to a URL of the form "
            "postgresql+psycopg://user@127.0.0.1:5432/database."
        ) from error
    if not is_superuser:
        raise NoServer(f"{url}: the user must be a superuser, who can read the server's WAL.")
    return url


def _given_redis(url: str) -> str:
    if not url.rpartition("/")[2].isdecimal():
        raise NoServer(f"{_REDIS} must end in a database number: that database is emptied.")
    return _answering(url)


def _found_redis() -> str:
    url = _answering("redis://127.0.0.1:6379/13")
    with redis.Redis.from_url(url) as client:
        if client.dbsize():
            raise NoServer(
                f"{url} is not empty. Set {_REDIS} to the URL of a database that may be emptied."
            )
    return url


def _answering(url: str) -> str:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except redis.ConnectionError as error:
        raise NoServer(
            f"There is no Redis at {url}: start one, or set {_REDIS} to a URL of the form "
            "redis://127.0.0.1:6379/13."
        ) from error
    return url
