"""A complete search of every world that one saga of three steps can be in.

There are two workers, one sweeper, two crashes (a process is killed or stalls, or a message is
lost), two duplicate deliveries, one false report that a message is lost, and a participant with a
barrier, which may refuse, ask for time, or fail before or after its effect. S2, S5, S6, S8, S9, S10
and S11 hold in every world (S3, S4 and S7 then follow from the participant's barrier and the
edges), and fair moves alone lead from every world to an end.
"""

from functools import partial

import pytest

from sagas.plan import PlannedStep
from sagas.states import ENDED
from tests.models.worlds.search import Small, explore
from tests.support.states import planned

once = partial(planned, attempts=1, undo_attempts=1)
twice = partial(planned, attempts=2, undo_attempts=2)
brief = partial(once, postponed=1.0)
ahead = partial(planned, undo=False, wait=90.0)


def plan(*steps: PlannedStep) -> tuple[PlannedStep, ...]:
    return steps


UNDOABLE = plan(once("a"), once("b"), once("c"))

#: A name, a small world, and its minimum number of worlds: a smaller search proves less.
WORLDS = [
    ("one attempt each", Small(UNDOABLE), 31_000),
    ("two attempts each", Small(plan(twice("a"), twice("b"), twice("c"))), 480_000),
    ("a pivot", Small(plan(once("a"), ahead("b", pivot=True), ahead("c"))), 6_000),
    (
        "a pivot that can be undone",
        Small(plan(once("a"), twice("b", pivot=True), ahead("c"))),
        15_000,
    ),
    (
        "a best-effort step",
        Small(plan(once("a"), once("b", attempts=2, best_effort=True), once("c"))),
        110_000,
    ),
    ("a probe", Small(plan(once("a"), once("b", probe=True), once("c"))), 48_000),
    (
        "a probe of the pivot",
        Small(plan(once("a"), ahead("b", pivot=True, probe=True), ahead("c", probe=True))),
        35_000,
    ),
    ("a cancel", Small(UNDOABLE, stops=1, doubles=1), 30_000),
    ("a deadline", Small(UNDOABLE, stops=1, doubles=1, deadline=True), 30_000),
    (
        "a participant that asks for time",
        Small(plan(brief("a"), brief("b")), busy=True, crashes=1, doubles=1),
        70_000,
    ),
    (
        "a participant that asks for time, and a probe",
        Small(plan(brief("a", probe=True)), busy=True, stops=1),
        160_000,
    ),
    ("an undo that is refused", Small(UNDOABLE, undo_refused=True, doubles=1), 14_000),
    ("a step that is skipped", Small(UNDOABLE, skipped="b", stops=1), 10_000),
    (
        "a step that leaves nothing to undo",
        Small(plan(once("a"), planned("b", undo=False, read_only=True), once("c")), stops=1),
        40_000,
    ),
]

#: From this many worlds on, a search is left to ``make slow``.
SLOW = 30_000


@pytest.mark.parametrize(
    ("small", "floor"),
    [
        pytest.param(small, floor, id=name, marks=[pytest.mark.slow] if floor >= SLOW else [])
        for name, small, floor in WORLDS
    ],
)
def test_every_world_is_correct_and_has_a_way_to_an_end(small: Small, floor: int) -> None:
    found = explore(small)
    print(found)  # noqa: T201 - shown with -s
    assert found.worlds >= floor
    assert found.ends == ENDED
    assert found.effects == {"none", "done", "undone", "tombstone"}
