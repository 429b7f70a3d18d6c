"""A shop on SQLite with the tables and the stock of the sample, fresh for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.seed import DATABASES, create_tables, seed


@pytest.fixture(scope="session")
def filled_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the databases of a shop, as a template for copies."""
    directory = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TASKS_DATA_DIR", str(directory))
        environment.delenv("TASKS_DATABASE_URL", raising=False)
        _fill()
    return directory


@pytest.fixture
def shop(filled_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Point the services to a shop that belongs to this test alone."""
    directory = tmp_path / "data"
    shutil.copytree(filled_shop, directory)
    monkeypatch.setenv("TASKS_DATA_DIR", str(directory))
    monkeypatch.delenv("TASKS_DATABASE_URL", raising=False)
    yield directory
    _close()


@pytest.fixture
def any_shop(
    blank_shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Point the services to a shop that belongs to this test alone, on each kind of database."""
    monkeypatch.setenv("TASKS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TASKS_DATABASE_URL", raising=False)
    if not blank_shop_url.startswith("sqlite"):
        monkeypatch.setenv("TASKS_DATABASE_URL", blank_shop_url)
    _fill()
    yield
    _close()


def _fill() -> None:
    create_tables()
    seed()
    _close()


def _close() -> None:
    for database in DATABASES:
        database.dispose()
