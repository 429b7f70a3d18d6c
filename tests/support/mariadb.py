"""Databases of a MariaDB that is already running."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Self

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

__all__ = ["MariadbServer", "real_mariadb_url"]


def real_mariadb_url() -> str | None:
    """Return the URL of a MariaDB that is already running, if the environment names one."""
    return os.environ.get("SAGAS_TEST_MARIADB_URL") or None


@dataclass(frozen=True, slots=True)
class MariadbServer:
    """Databases of one server; *url* is that of any existing database.

    Creating the tables of a record takes this server a quarter of a second, and emptying them a few
    milliseconds. Copies of the template are therefore reused unless a test has changed their
    tables.
    """

    url: str
    template: str | None = None
    spare: list[str] = field(default_factory=list)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a database from which the next test inherits nothing."""
        with self._server() as server:
            name = self.spare.pop() if self.spare else self._create(server)
            made = _tables(server, name)
        try:
            yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        finally:
            with self._server() as server:
                _disconnect_all(server, name)
                if self.template and made.items() <= _tables(server, name).items():
                    self._restore(server, name, keep=set(made))
                    self.spare.append(name)
                else:
                    server.execute(text(f"DROP DATABASE {name}"))

    @contextmanager
    def with_template(self, fill: Callable[[str], None]) -> Iterator[Self]:
        """Yield this server, with a database that *fill* has filled as the template."""
        with self.database() as url:
            fill(url)
            filled = replace(self, template=make_url(url).database, spare=[])
            try:
                yield filled
            finally:
                with self._server() as server:
                    for name in filled.spare:
                        server.execute(text(f"DROP DATABASE {name}"))

    def _create(self, server: Connection) -> str:
        name = f"sagas_{uuid.uuid4().hex}"
        server.execute(text(f"CREATE DATABASE {name}"))
        if self.template:
            tables = _tables(server, self.template)
            server.execute(text(f"USE {name}"))
            for statement in tables.values():
                server.exec_driver_sql(statement)
            self._restore(server, name, keep=set(tables))
        return name

    def _restore(self, server: Connection, name: str, *, keep: set[str]) -> None:
        """Give the tables the rows of the template's tables, and remove all other tables."""
        for table in keep:
            # The names are ours: no foreign text enters these statements.
            if server.scalar(text(f"SELECT 1 FROM {name}.{table} LIMIT 1")):  # noqa: S608
                # Not DELETE, which leaves the keys in the indexes for a while: who inserts one of
                # them again would lock the gap around it.
                server.execute(text(f"TRUNCATE TABLE {name}.{table}"))
        server.execute(text("BEGIN"))
        for table in keep:
            copy = f"INSERT INTO {name}.{table} SELECT * FROM {self.template}.{table}"  # noqa: S608
            server.execute(text(copy))
        server.execute(text("COMMIT"))
        for table in set(_tables(server, name)) - keep:
            server.execute(text(f"DROP TABLE {name}.{table}"))

    @contextmanager
    def _server(self) -> Iterator[Connection]:
        with _engine(self.url).connect() as connection:
            connection.execute(text("SET foreign_key_checks = 0"))
            yield connection


@cache
def _engine(url: str) -> Engine:
    """Return an engine that keeps its one connection: making it costs as much as using it."""
    return create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)


def _tables(server: Connection, database: str) -> dict[str, str]:
    """Return the tables of a database, each with the statement that would create it now."""
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = :of"
    names = server.scalars(text(query), {"of": database}).all()
    made = {n: server.execute(text(f"SHOW CREATE TABLE {database}.{n}")).one()[1] for n in names}
    return {name: re.sub(r" AUTO_INCREMENT=\d+", "", made[name]) for name in names}


def _disconnect_all(server: Connection, database: str) -> None:
    query = "SELECT id FROM information_schema.processlist WHERE db = :of AND id <> CONNECTION_ID()"
    for connection in server.scalars(text(query), {"of": database}).all():
        with suppress(OperationalError):  # it has just disappeared by itself
            server.execute(text(f"KILL {connection}"))
