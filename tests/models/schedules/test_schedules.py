"""Thousands of schedules of one saga: whatever goes wrong on the way, it ends correctly."""

import os
from random import Random

import pytest

from sagas.definition.saga import _check_way_back
from tests.models.schedules.guards import missing
from tests.models.schedules.plans import random_plan
from tests.models.schedules.schedule import Run, run
from tests.models.schedules.world import World

#: The number of schedules in all. ``make simulate`` runs many more.
SCHEDULES = int(os.environ.get("SAGAS_SCHEDULES", "200000"))
PARTS = 8


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))]
)
def test_every_schedule_ends_correctly_and_each_kind_of_trouble_occurs(part: int) -> None:
    done = run(range(part, SCHEDULES, PARTS))
    assert_clean(done)
    assert not missing(done.counts), "a run in which this did not happen proves nothing about it"


def assert_clean(done: Run) -> None:
    for seed, error in done.failed.items():
        pytest.fail(f"{error}\nReplay it with: python -m tests.models.schedules --seed {seed}")


def test_a_seed_alone_repeats_its_schedule() -> None:
    first, second = (run(range(50)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", range(200))
def test_a_definition_accepts_every_random_plan(seed: int) -> None:
    _check_way_back(random_plan(Random(seed)))


def test_a_story_records_each_turn_that_a_saga_took() -> None:
    world = World(2, story=True)
    assert world.story
    assert "start is committed" in world.story[0]
