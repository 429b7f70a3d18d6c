"""Checks of what an application stands on: versions, settings, the broker and the database."""

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from operator import methodcaller
from typing import Any

from packaging.requirements import Requirement
from sqlalchemy import Connection, false, select, text, update
from sqlalchemy.exc import DBAPIError

from sagas.cli.findings import Check, Finding, Setup, error, ok, warning
from sagas.payload import text_of
from sagas.record import migrate
from sagas.record import tables as t
from sagas.runtime.queues import knows_lengths
from sagas.secret import STARS
from sagas.sql import commits_each_statement, is_mariadb, now

__all__ = ["CHECKS"]

_UPGRADE = "Run: sagas -A <your app> db upgrade"

#: The oldest MariaDB that the record runs on.
_OLDEST_MARIADB = (10, 6)


def versions(_: Setup) -> Iterator[Finding]:
    """Compare what is installed with what the package requires."""
    requirements = map(Requirement, importlib.metadata.requires("celery-sagas") or ())
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate()]
    installed = {one.name: importlib.metadata.version(one.name) for one in needed}
    for one in needed:
        if not one.specifier.contains(installed[one.name], prereleases=True):
            yield error(
                f"{one.name} {installed[one.name]} is installed, and celery-sagas needs "
                f"{one.specifier}.",
                f"Run: pip install '{one.name}{one.specifier}'",
            )
    own = importlib.metadata.version("celery-sagas")
    shown = ", ".join(f"{name} {installed[name]}" for name in ("celery", "kombu", "sqlalchemy"))
    yield ok(f"celery-sagas {own}, Python {platform.python_version()}, {shown}.")


def settings(setup: Setup) -> Iterator[Finding]:
    """Read the settings, and import what they name."""
    found = setup.own.settings
    _ = setup.own.payload_codec
    if setup.app.conf.task_always_eager:
        yield warning(
            "task_always_eager is set: steps run in the process that starts a saga, without a "
            "broker and a worker.",
            "Use it in tests only.",
        )
    yield ok(
        f"The lease is {found.saga_lease_s:g} s; each worker sweeps every "
        f"{found.saga_sweep_interval_s:g} s."
    )


def broker(setup: Setup) -> Iterator[Finding]:
    """Connect to the broker, and look whether its answers can be believed."""
    with setup.app.connection_for_write() as connection:
        uri = connection.as_uri()  # without the password
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except Exception as problem:  # noqa: BLE001 - transports have no common error
            said = text_of(problem).replace(connection.password or STARS, STARS)
            yield error(f"{uri} does not answer: {said}", "Start the broker, or set broker_url.")
            return
        yield from _memory(connection)
    if knows_lengths(setup.app):
        yield ok(f"{uri} answers.")
    else:
        yield warning(
            f"{uri} answers, but does not tell how many messages wait in a queue. A message that "
            "it loses is not missed, and its saga waits until its deadline.",
            "Use Redis or RabbitMQ, or give each saga a deadline.",
        )


def _memory(connection: Any) -> Iterator[Finding]:
    if connection.transport.driver_type != "redis":
        return
    memory = connection.default_channel.client.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        yield warning(
            f"Redis discards messages silently once its memory is full (maxmemory-policy "
            f"{policy}).",
            "Set maxmemory-policy noeviction.",
        )


def database(setup: Setup) -> Iterator[Finding]:
    """Connect to the record's database."""
    url = setup.own.database.engine.url.render_as_string(hide_password=True)
    try:
        found = setup.own.database.read(_version)
    except DBAPIError as problem:
        yield error(
            f"{url} does not answer: {text_of(problem.orig).strip()}",
            "Start the database, or correct saga_database_url.",
        )
        return
    name, version = found
    if name == "MariaDB" and version < _OLDEST_MARIADB:
        yield error(f"{url} is MariaDB {_dotted(version)}.", "Use MariaDB 10.6 or newer.")
    yield ok(f"{url} answers: {name} {_dotted(version)}.")


def _version(connection: Connection) -> tuple[str, tuple[int, ...]]:
    dialect = connection.dialect
    names = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
    name = "MariaDB" if is_mariadb(dialect) else names.get(dialect.name, dialect.name)
    parts = dialect.server_version_info or ()
    return name, tuple(part for part in parts if isinstance(part, int))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def isolation(setup: Setup) -> Iterator[Finding]:
    """Look whether the database keeps transactions as the record needs them."""
    commits, level = setup.own.database.read(
        lambda c: (commits_each_statement(c), c.get_isolation_level())
    )
    if commits:
        yield error(
            "The connection is in AUTOCOMMIT: a saga and its history would not commit together.",
            "Take autocommit and isolation_level out of saga_database_options and of the URL.",
        )
        return
    if setup.own.database.read(_is_read_only):
        yield error(
            "The database is read-only: it is a standby, or was made read-only.",
            "Let saga_database_url lead to the primary.",
        )
        return
    yield ok(f"Transactions are {level}.")


def _is_read_only(connection: Connection) -> bool:
    asked = {"postgresql": "SHOW transaction_read_only", "mariadb": "SELECT @@read_only"}
    name = "mariadb" if is_mariadb(connection.dialect) else connection.dialect.name
    if name not in asked:
        return False
    return str(connection.scalar(text(asked[name]))).lower() not in ("0", "off")


def tables(setup: Setup) -> Iterator[Finding]:
    """Look whether the record's tables are there, and may be written."""
    found = setup.own.database.read(migrate.current_revision)
    needed = migrate.head_revision()
    if found is None:
        yield error("The record's tables are missing in this database.", _UPGRADE)
        return
    if found != needed:
        yield error(
            f"The record is at revision {found}; this version needs {needed}.",
            f"{_UPGRADE}. If a newer version has upgraded it, install that version.",
        )
        return
    for table in t.metadata.sorted_tables:
        column = table.primary_key.columns[0]
        nothing = update(table).where(false()).values({column: column})
        try:
            setup.own.database.write(methodcaller("execute", nothing))
        except DBAPIError as problem:
            yield error(
                f"Table {table.name} cannot be written: {text_of(problem.orig).strip()}",
                "Grant SELECT, INSERT, UPDATE and DELETE on the record's tables, and let the "
                "process write the file if it is SQLite.",
            )
            return
    yield ok(f"The record is at revision {found}, and can be written.")


def clock(setup: Setup) -> Iterator[Finding]:
    """Compare this machine's clock with the database's, by which the record goes."""
    before = time.time()
    theirs = setup.own.database.read(lambda c: c.execute(select(now())).scalar_one()).timestamp()
    off_s = theirs - (before + time.time()) / 2
    if abs(off_s) > setup.own.settings.saga_lease_s:
        yield warning(
            f"This machine's clock and the database's differ by {abs(off_s):.1f} s. Times in logs "
            "and in the record do not agree, and a message with a countdown comes early or late.",
            "Synchronise both clocks, by NTP for instance.",
        )
    else:
        yield ok("This machine's clock agrees with the database's.")


CHECKS = (
    Check("versions", versions),
    Check("settings", settings),
    Check("broker", broker),
    Check("database", database, needs=("settings",)),
    Check("isolation", isolation, needs=("database",)),
    Check("tables", tables, needs=("isolation",)),
    Check("clock", clock, needs=("database",)),
)
