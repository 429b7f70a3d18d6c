"""The migrations that ship with the package."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from sagas.errors import RecordNotReady
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import VERSION_TABLE, current_revision, head_revision, upgrade
from sagas.record.place import record_id
from sagas.record.store import Store
from tests.support.records import claims, saga_row, started


@pytest.fixture
def blank(blank_database_url: str) -> Iterator[Database]:
    """Return an empty database."""
    made = Database(blank_database_url)
    yield made
    made.dispose()


def tables(database: Database) -> set[str]:
    return database.read(lambda c: set(inspect(c).get_table_names()))


def differences(database: Database) -> Any:
    """Return what alembic would write into the next migration."""

    def compare(connection: Any) -> Any:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, t.metadata)

    return database.read(compare)


def downgrade(database: Database, revision: str = "base") -> None:
    config = Config()
    config.set_main_option("script_location", "sagas.record:migrations")
    config.set_main_option("path_separator", "os")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_an_upgrade_of_an_empty_database_creates_exactly_the_tables_that_the_code_uses(
    blank: Database,
) -> None:
    upgrade(blank)
    assert tables(blank) == {*t.metadata.tables, VERSION_TABLE}
    assert differences(blank) == []


def test_every_index_that_the_code_declares_is_created(blank: Database) -> None:
    # Alembic does not compare the condition of an index, nor its name on every database.
    upgrade(blank)
    declared = {
        (index.name, tuple(column.name for column in index.columns))
        for table in t.metadata.tables.values()
        for index in table.indexes
    }
    # MariaDB creates one for every constraint and gives it the same name.
    implied = {key.name for table in t.metadata.tables.values() for key in table.constraints}
    made = blank.read(
        lambda c: {
            (index["name"], tuple(index["column_names"]))
            for table in t.metadata.tables
            for index in inspect(c).get_indexes(table)
            if index["name"] not in implied
        }
    )
    assert made == declared


def test_an_upgrade_ends_at_the_newest_revision(blank: Database) -> None:
    assert blank.read(current_revision) is None
    upgrade(blank)
    assert head_revision() is not None
    assert blank.read(current_revision) == head_revision()


def test_a_second_upgrade_does_nothing(blank: Database) -> None:
    upgrade(blank)
    before = blank.read(record_id)
    saga_id = started(Store(blank))
    upgrade(blank)
    assert blank.read(record_id) == before
    assert saga_row(blank, saga_id).status == "STARTED"


def test_a_record_that_a_newer_version_has_upgraded_is_left_alone(blank: Database) -> None:
    upgrade(blank)
    newer = text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608
    blank.write(lambda c: c.execute(newer))
    with pytest.raises(RecordNotReady, match=r"revision 9999.*a newer one has upgraded it"):
        upgrade(blank)
    assert blank.read(current_revision) == "9999"


def test_simultaneous_upgrades_do_the_work_once(blank_database_url: str) -> None:
    def run(_: int) -> object:
        database = Database(blank_database_url)
        upgrade(database)
        found = database.read(record_id)
        database.dispose()
        return found

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(run, range(3)))) == 1


def test_every_record_has_its_own_identity(blank: Database) -> None:
    upgrade(blank)
    first = blank.read(record_id)
    downgrade(blank)
    upgrade(blank)
    assert first is not None
    assert blank.read(record_id) not in (None, first)


def test_a_downgrade_removes_everything(blank: Database) -> None:
    upgrade(blank)
    claims(store := Store(blank), started(store), "flight", worker=uuid7())
    downgrade(blank)
    assert tables(blank) <= {VERSION_TABLE}
    assert blank.read(current_revision) is None
    upgrade(blank)
    assert differences(blank) == []


def test_the_application_may_use_alembic_in_the_same_database(blank: Database) -> None:
    def application(connection: Any) -> None:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of the application')"))
        connection.execute(text("CREATE TABLE shop_order (id INTEGER PRIMARY KEY)"))

    blank.write(application)
    upgrade(blank)
    downgrade(blank)
    upgrade(blank)
    version = blank.read(lambda c: c.scalar(text("SELECT version_num FROM alembic_version")))
    assert version == "of the application"
    assert "shop_order" in tables(blank)


def test_an_upgrade_leaves_the_logging_of_the_application_alone(blank: Database) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("shop").disabled)
    upgrade(blank)
    assert (root.level, list(root.handlers), logging.getLogger("shop").disabled) == before


def test_the_record_has_one_identity(blank: Database) -> None:
    upgrade(blank)
    assert len(blank.read(lambda c: c.execute(select(t.record)).all())) == 1
