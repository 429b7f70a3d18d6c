"""The same schedules on the real store, which equals the plain values after every write."""

import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.models.schedules.guards import tally
from tests.models.schedules.schedule import simulate
from tests.models.schedules.stored import SqliteStore, StoredRecord, sqlite_store
from tests.models.schedules.world import World

#: The number of schedules in all; the variable sets another.
SCHEDULES = int(os.environ.get("SAGAS_STORED_SCHEDULES", "5000"))
PARTS = 10


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))]
)
def test_the_store_writes_what_the_decisions_result_in(part: int, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    with sqlite_store(tmp_path) as sqlite:
        for seed in range(part, SCHEDULES, PARTS):
            seen += tally(simulate_stored(seed, sqlite))
    # A run in which nothing happened would prove nothing.
    for what in (
        "parked",
        "fenced",
        "rescue: taken over",
        "person: skipped by operator",
        "deadline passed",
    ):
        assert seen[what], what


def simulate_stored(seed: int, sqlite: SqliteStore) -> World:
    world = World(seed, partial(StoredRecord, sqlite))
    try:
        simulate(world)
        assert isinstance(world.record, StoredRecord)
        world.record.compare_all()
    except Exception as error:
        error.add_note(f"Replay it with: python -m tests.models.schedules --stored --seed {seed}")
        raise
    return world
