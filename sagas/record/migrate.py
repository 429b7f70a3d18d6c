"""Upgrading a database to the tables of this version, by the migrations in the package.

Alembic is imported when it is used: it would take a sixth of a worker's start-up time, and no
worker migrates.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, select

from sagas.errors import RecordNotReady
from sagas.record.database import Database
from sagas.sql import is_mariadb

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["VERSION_TABLE", "current_revision", "head_revision", "upgrade"]

#: Alembic's own table under a name of ours: the application may use alembic in the same database.
VERSION_TABLE = "saga_alembic_version"

#: The advisory lock of a migration: any number, as long as it stays the same.
_LOCK_ID = 7_300_717

#: How long a migration waits for another on MariaDB: less than the connection's read timeout.
_LOCK_PATIENCE_S = 10


def upgrade(database: Database, revision: str = "head") -> None:
    """Create the record's tables or upgrade them to *revision*; do nothing if they are there.

    If several processes do it at the same time, one does the work and the others wait for it.

    Raises:
        RecordNotReady: a newer version has upgraded the record, or another process is upgrading it
            for too long.
    """
    from alembic import command

    def work(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # a writer of SQLite is alone anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK_ID)))
        _refuse_newer(current_revision(connection))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    with _alone_on_mariadb(database.engine):
        database.write(work)


def _refuse_newer(current: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise RecordNotReady(
            f"The record is at revision {current}, which this version of celery-sagas does not "
            "know: a newer one has upgraded it. Deploy that version. Nothing was changed."
        )


@contextmanager
def _alone_on_mariadb(engine: Engine) -> Iterator[None]:
    """Keep other migrations out until this one has committed.

    On MariaDB every CREATE TABLE commits, so the transaction does not do it. Named locks belong to
    a connection and are visible to the whole server.
    """
    if not is_mariadb(engine.dialect):
        yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = f"sagas.{_LOCK_ID}.{connection.scalar(select(func.md5(func.database())))}"
        if connection.scalar(select(func.get_lock(name, _LOCK_PATIENCE_S))) != 1:
            raise RecordNotReady("Another process is upgrading this record. Try again in a moment.")
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(name)))


def head_revision() -> str | None:
    """Return the revision that this version of the package needs."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database, None where it has no record yet."""
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "sagas.record:migrations")
    config.set_main_option("path_separator", "os")
    return config
