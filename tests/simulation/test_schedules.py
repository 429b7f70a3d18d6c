"""Thousands of schedules of one saga: whatever goes wrong on the way, it ends right."""

import os
from collections.abc import Callable
from random import Random

import pytest

from sagas.states import Operation, SagaStatus, StepStatus
from tests.simulation.world import Execution, World

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: So many in one test; more by hand: ``SAGAS_SCHEDULES=1000000 pytest tests/simulation``.
SCHEDULES = int(os.environ.get("SAGAS_SCHEDULES", "40000"))
TROUBLES = 60
Move = Callable[[], object]
GOOD = {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}
MOODS = ["fine"] * 6 + ["refuse", "break before", "break after"]


@pytest.mark.parametrize("part", range(4))
def test_every_schedule_ends_right(part: int) -> None:
    ends = dict.fromkeys(GOOD, 0)
    alerts = people = 0
    for seed in range(part, SCHEDULES, 4):
        world = simulate(seed)
        ends[world.saga.status] += 1
        alerts, people = alerts + world.alerts, people + world.people
    # A run in which nothing happened would prove nothing.
    assert min(*ends.values(), alerts, people) > SCHEDULES / 4 / 50


def simulate(seed: int) -> World:
    """Run one schedule; an error names the seed, which alone repeats it."""
    world = World.begin(Random(seed))
    try:
        for _ in range(TROUBLES):
            _trouble(world)
        _calm(world)
        _check(world)
    except AssertionError as error:
        raise AssertionError(f"simulate({seed}): {error}; {world}") from error
    return world


def _trouble(world: World) -> None:
    random = world.random
    choices: list[Move] = [
        lambda: world.pass_time(random.choice([0.5, 2.0, 10.0, 70.0])),
        world.sweep,
        world.sweep,
    ]
    if world.messages:
        index = random.randrange(len(world.messages))
        choices += [lambda: world.deliver(index)] * 4
        choices += [lambda: world.deliver(index, keep=True), lambda: world.messages.pop(index)]
    if world.executions:
        execution = random.choice(world.executions)
        choices += [lambda: _go_on(world, execution)] * 5
        choices += [lambda: world.executions.remove(execution)]  # killed
        choices += [lambda: setattr(execution, "alive", False)]  # stopped: it may wake up late
    if world.saga.status is SagaStatus.FAILED:
        choices += [lambda: world.ask_people(random.choice(["retry", "by hand"]))]
    elif random.random() < 0.1:
        choices += [lambda: world.ask_people("cancel")]
    random.choice(choices)()


def _go_on(world: World, execution: Execution) -> None:
    if execution.result is None:
        world.run(execution, world.random.choice(MOODS))
    else:
        world.end(execution, publish=world.random.random() < 0.8)


def _calm(world: World) -> None:
    """No more faults: everything that still can will end, and people help where it is parked."""
    for _ in range(500):
        for execution in tuple(world.executions):
            if execution.result is None:
                world.run(execution, "fine")
            world.end(execution)
        while world.messages:
            world.deliver(0)
        if world.saga.status in GOOD and not world.executions:
            return
        if world.saga.status is SagaStatus.FAILED:
            world.ask_people(world.random.choice(["retry", "by hand"]))
        world.pass_time(5)
        world.sweep()
    raise AssertionError("it does not end")


def _check(world: World) -> None:
    saga, applied = world.saga, world.applied
    assert len(applied) == len(set(applied)), "applied twice"
    for planned in saga.plan:
        done, undone = (planned.name, ACTION) in applied, (planned.name, COMPENSATION) in applied
        assert done or not undone, f"{planned.name} was undone without its action"
        if done and undone:
            places = [applied.index((planned.name, operation)) for operation in Operation]
            assert places == sorted(places), f"{planned.name} was undone before its action"
        skipped = saga.step(planned.name).status is StepStatus.SKIPPED
        if saga.status is SagaStatus.COMPLETED:
            assert not undone, f"{planned.name} is undone, and the saga is completed"
            assert done or planned.best_effort or skipped, f"{planned.name} is missing"
        else:
            harmless = planned.read_only or planned.best_effort or skipped
            assert not done or undone or (harmless and not planned.compensation), (
                f"{planned.name} is not undone"
            )
