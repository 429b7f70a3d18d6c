"""``alembic revision --autogenerate`` in the user's project, on a database that has the record."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from sagas import barrier
from tests.support.waiting import HANG_S

MODELS = """
from sqlalchemy import Column, Integer, MetaData, String, Table

metadata = MetaData()
order = Table("shop_order", metadata, Column("id", Integer, primary_key=True),
              Column("title", String(40)))
"""
WITH_BARRIER = """
from sagas import barrier
barrier.table.to_metadata(metadata)
"""


class Project:
    """A project of its own, made by ``alembic init``."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.alembic("init", "migrations")
        ini, env = directory / "alembic.ini", directory / "migrations" / "env.py"
        text = ini.read_text().replace(
            "driver://user:pass@localhost/dbname", url.replace("%", "%%")
        )
        ini.write_text(text)
        env.write_text(
            env.read_text().replace(
                "target_metadata = None", "from models import metadata as target_metadata"
            )
        )
        (directory / "models.py").write_text(MODELS)

    def alembic(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.directory,
            check=False,
            capture_output=True,
            text=True,
            timeout=HANG_S,
        )
        assert done.returncode == 0, done.stderr

    def use_the_helper(self) -> None:
        """Pass our helper to alembic, as the page says."""
        env = self.directory / "migrations" / "env.py"
        used = "target_metadata=target_metadata"
        source = env.read_text().replace(used, f"{used}, include_object=include_object")
        env.write_text(f"from sagas.contrib.alembic import include_object\n{source}")

    def generated(self) -> str:
        """Return what the next migration would do."""
        self.alembic("revision", "--autogenerate", "-m", "next")
        [made] = (self.directory / "migrations" / "versions").glob("*_next.py")
        return made.read_text().partition("def upgrade")[2].partition("def downgrade")[0]


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    engine = create_engine(database_url)
    barrier.create_tables(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE shop_old (id INTEGER PRIMARY KEY)"))
    engine.dispose()
    return Project(tmp_path, database_url)


def test_no_table_of_sagas_is_dropped_and_the_rest_is_compared(project: Project) -> None:
    project.use_the_helper()
    generated = project.generated()
    assert "saga" not in generated
    assert "op.create_table('shop_order'" in generated
    assert "op.drop_table('shop_old')" in generated


def test_without_the_helper_every_table_would_be_dropped(project: Project) -> None:
    assert "op.drop_table('saga')" in project.generated()


def test_a_barrier_in_the_metadata_of_the_project_is_compared(project: Project) -> None:
    models = project.directory / "models.py"
    models.write_text(MODELS + WITH_BARRIER)
    project.use_the_helper()
    generated = project.generated()
    assert "op.create_table('saga_barrier'" not in generated
    assert "drop_table('saga" not in generated
