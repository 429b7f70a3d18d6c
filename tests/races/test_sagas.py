"""Two transactions on one saga: every order gives the result of a serial one."""

from itertools import combinations_with_replacement

import pytest

from tests.races.arena import Arena
from tests.races.moves import Moves
from tests.races.scenes import SCENES, Scene


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_any_two_transactions_on_a_saga_have_a_serial_outcome(scene: Scene, arena: Arena) -> None:
    prepare, moves_of = scene
    saga = arena.store.peek(prepare(arena.store))
    assert saga
    arena.keep()
    for one, other in combinations_with_replacement(moves_of(Moves(saga)), 2):
        arena.pair(one, other)
