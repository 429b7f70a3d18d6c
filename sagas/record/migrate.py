"""Bringing a database to the tables of this version, by the migrations in the package.

Alembic is imported when it is used: it would be a sixth of the time that a worker takes to start,
and no worker migrates.
"""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from sagas.record.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["VERSION_TABLE", "current_revision", "head_revision", "upgrade"]

#: Alembic's own table under a name of ours: the application may use alembic in the same database.
VERSION_TABLE = "saga_alembic_version"

#: The advisory lock of a migration: any number, as long as it is always the same.
_LOCK_ID = 7_300_717


def upgrade(database: Database, revision: str = "head") -> None:
    """Create the record's tables or bring them up to *revision*. Does nothing where they are.

    Where several processes do it at one moment, one does the work and the others wait for it.
    """
    from alembic import command

    def work(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # a writer of SQLite is alone anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK_ID)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    database.write(work)


def head_revision() -> str | None:
    """Return the revision that this version of the package wants."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, None where it has no record yet."""
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "sagas.record:migrations")
    config.set_main_option("path_separator", "os")
    return config
