"""What a definition checks about the way back: pivots, kinds of steps, probes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagas import Saga, Step
from sagas.definition import StepDefinition
from tests.unit.declared import Trip, made, refused

pytestmark = pytest.mark.usefixtures("forgotten_tasks")


def undone(name: str, **options: Any) -> StepDefinition[[Trip], str]:
    definition = made(name, **options)
    definition.compensation()(lambda _: None)
    return definition


def test_a_step_that_nothing_can_undo_is_refused_where_a_later_one_may_fail() -> None:
    steps = [made("way.once"), undone("way.again")]
    message = refused(lambda: Saga("no-way-back", input=Trip, steps=steps))
    assert "Step 'way.once' of saga 'no-way-back' has no compensation" in message
    for remedy in (".compensation", "read_only=True", "best_effort=True", "pivot=True"):
        assert remedy in message


@pytest.mark.parametrize(
    "steps",
    [
        lambda: [undone("way.a"), made("way.b")],
        lambda: [made("way.c", read_only=True), undone("way.d")],
        lambda: [Step(made("way.e"), best_effort=True), undone("way.f")],
        lambda: [undone("way.g"), Step(made("way.h"), pivot=True), made("way.i"), made("way.j")],
        lambda: [undone("way.k"), made("way.l"), Step(made("way.m"), best_effort=True)],
    ],
    ids=["last", "read-only", "best effort", "after the pivot", "last that matters"],
)
def test_a_step_needs_no_compensation_where_nothing_could_ask_for_it(
    steps: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    Saga(request.node.name, input=Trip, steps=steps())


def test_a_last_step_that_nothing_can_undo_is_the_pivot() -> None:
    notify = Step(made("way.notify"), best_effort=True)
    saga = Saga("auto-pivot", input=Trip, steps=[undone("way.n"), made("way.o"), notify])
    assert saga.plan.pivot is not None
    assert saga.plan.pivot.name == "way.o"
    assert not Saga("no-pivot", input=Trip, steps=[undone("way.p")]).plan.pivot
    assert not Saga("reads", input=Trip, steps=[made("way.q", read_only=True)]).plan.pivot


def test_there_is_at_most_one_pivot() -> None:
    steps = [Step(undone("way.r"), pivot=True), Step(undone("way.s"), pivot=True)]
    message = refused(lambda: Saga("two-pivots", input=Trip, steps=steps))
    assert "several pivots ('way.r', 'way.s')" in message


def test_a_pivot_is_not_best_effort_and_has_no_condition() -> None:
    both = refused(lambda: Step(undone("way.t"), pivot=True, best_effort=True))
    assert "is both pivot and best_effort" in both
    conditional = refused(lambda: Step(undone("way.u"), pivot=True, when=bool))
    assert "is the pivot and has a condition" in conditional


def test_a_read_only_step_has_nothing_to_undo() -> None:
    assert "is read_only, and has a compensation" in refused(
        lambda: undone("way.v", read_only=True)
    )


def test_a_step_has_one_probe_declared_before_its_saga() -> None:
    asked = undone("way.w")
    asked.probe(lambda _: True)
    assert "has two probes" in refused(lambda: asked.probe(lambda _: True))
    late = undone("way.x")
    Saga("late-probe", input=Trip, steps=[late])
    assert "Declare the probe before the saga" in refused(lambda: late.probe(lambda _: True))


@pytest.mark.parametrize("deadline", [0, True, timedelta(0), timedelta(seconds=-1)], ids=str)
def test_a_deadline_is_a_duration(deadline: Any) -> None:
    steps = [undone("way.y")]
    message = refused(lambda: Saga("late", input=Trip, steps=steps, deadline=deadline))
    assert "give seconds or a timedelta, above 0" in message
