"""A prefork worker forks while its duties are running."""

from tests.system.world import World


def test_children_that_are_forked_while_the_duties_run_can_work(world: World) -> None:
    # Each task gets its own child, forked from a process whose duties never rest.
    world.env.update(TRIP_SWEEP_S="0.01")
    world.worker("one", "--max-tasks-per-child=1")
    world.start(**{f"trip-{n}": {} for n in range(6)})
    world.wait_until_ended()
