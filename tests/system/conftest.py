"""A world for every system test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.system.world import World, world_on


@pytest.fixture
def world(broker: Broker, database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a world with an empty broker, an empty record and no worker yet."""
    with world_on(broker, database_url, tmp_path) as made:
        yield made
