"""Two transactions on one saga, in every order: each comes to what one after the other comes to."""

from itertools import combinations_with_replacement

import pytest

from tests.races.arena import Arena
from tests.races.moves import Moves
from tests.races.scenes import SCENES, Scene


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_whatever_meets_at_a_saga_one_goes_after_the_other(scene: Scene, arena: Arena) -> None:
    prepare, moves_of = scene
    saga = arena.store.peek(prepare(arena.store))
    assert saga
    arena.keep()
    for one, other in combinations_with_replacement(moves_of(Moves(saga)), 2):
        arena.pair(one, other)
