"""Plans that a definition would accept, of every kind of step."""

from dataclasses import replace
from functools import cache
from random import Random

from sagas.plan import Plan, PlannedStep
from tests.support.states import planned

__all__ = ["random_plan", "random_skips"]

_BEFORE = ("undo", "undo", "undo", "read_only", "best_effort", "best_effort undo")
_BEYOND = ("plain", "undo", "best_effort", "read_only")


def random_plan(random: Random) -> Plan:
    """Draw a plan of one to four steps."""
    length = random.randint(1, 4)
    pivot_at = random.choice((None, None, 0, 1, 2, 3))
    steps = tuple(
        _step(random, name, _kind(random, number, pivot_at))
        for number, name in enumerate("abcd"[:length])
    )
    if pivot_at is None and random.random() < 0.2:
        # A last step that nothing can undo is the pivot anyway.
        steps = (*steps[:-1], replace(steps[-1], compensation=None, pivot=True, best_effort=False))
    return Plan("simulated", steps, 40.0 if random.random() < 0.3 else None)


def random_skips(random: Random, plan: Plan) -> tuple[str, ...]:
    """Draw the steps whose condition does not hold for the input."""
    if random.random() < 0.7:
        return ()
    skipped = [step.name for step in plan if random.random() < 0.4]
    pivot = plan.pivot
    declared = None if pivot is None or pivot is plan.steps[-1] else pivot.name
    return tuple(name for name in skipped if name != declared)


def _kind(random: Random, number: int, pivot_at: int | None) -> str:
    if number == pivot_at:
        return random.choice(("pivot", "pivot", "pivot undo"))
    return random.choice(_BEFORE if pivot_at is None or number < pivot_at else _BEYOND)


def _step(random: Random, name: str, kind: str) -> PlannedStep:
    return _planned(
        name,
        kind,
        random.randint(1, 3),
        random.randint(1, 3),
        (random.randint(1, 3), random.choice((0.0, 8.0, 20.0))),
        random.choice((0.0, 1.0, 30.0)),
        random.choice((None, None, 5.0)),
        random.random() < 0.4,
    )


@cache
def _planned(
    name: str,
    kind: str,
    attempts: int,
    undo_attempts: int,
    bounds: tuple[int, float],
    wait: float,
    timeout: float | None,
    probe: bool,  # noqa: FBT001 - likewise
) -> PlannedStep:
    kinds = {word: True for word in kind.split() if word not in ("undo", "plain")}
    return planned(
        name,
        undo="undo" in kind.split(),
        attempts=attempts,
        undo_attempts=undo_attempts,
        losses=bounds[0],
        postponed=bounds[1],
        wait=wait,
        timeout=timeout,
        probe=probe,
        **kinds,
    )
