"""A world for every system test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.system.world import World, world_on

_HERE = Path(__file__).parent


@pytest.fixture
def world(broker: Broker, database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a world with an empty broker, an empty record and no worker yet."""
    with world_on(broker, database_url, tmp_path) as made:
        yield made


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most worlds on SQLite to ``make slow``: PostgreSQL has them all, SQLite its ends."""
    for item in items:
        called = getattr(item, "callspec", None)
        on_sqlite = called and called.params.get("database_url") == "sqlite"
        if on_sqlite and item.path.parent == _HERE and item.path.stem != "test_ends":
            item.add_marker(pytest.mark.slow)
