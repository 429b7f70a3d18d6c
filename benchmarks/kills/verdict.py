"""The verdict on one saga, by the participant's rows and, unless it is a chain, by its record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

from benchmarks.kills.participant import ACTION, STEPS, UNDO, Row

__all__ = ["Ending", "Wrong", "ending_by_rows", "judge"]


class Ending(StrEnum):
    """How a saga or a chain ended."""

    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARKED = "parked"
    OPEN = "open"


class Wrong(StrEnum):
    """What can be wrong with an end; several can be wrong at once."""

    STUCK = "stuck"
    PARKED = "parked"
    EFFECT_MISSING = "effect missing"
    EFFECT_TWICE = "effects twice"
    UNDO_TWICE = "compensations twice"
    BOTH = "both completed and compensated"
    LEFT_BEHIND = "effects left behind"
    EFFECT_AFTER_UNDO = "effect after its compensation"
    UNDO_OF_NOTHING = "compensation of nothing"
    OUT_OF_ORDER = "out of order"


def ending_by_rows(rows: Sequence[Row]) -> Ending:
    """Tell how a chain ended; nothing but its rows is known.

    It has completed if every effect is there and none is undone. Its compensation runs backwards,
    so it has ended if the first step is undone.
    """
    undone = set(_steps(rows, UNDO))
    if not undone and set(_steps(rows, ACTION)) == set(STEPS):
        return Ending.COMPLETED
    return Ending.COMPENSATED if STEPS[0] in undone else Ending.OPEN


def judge(rows: Sequence[Row], ending: Ending) -> frozenset[Wrong]:
    """Return what is wrong with the rows, the oldest first, given how it ended.

    Two ends are right: completed, with each effect once and none undone; or compensated, with each
    effect that was there undone once, in reverse order.
    """
    return frozenset([*_about_the_ending(rows, ending), *_about_the_rows(rows)])


def _about_the_ending(rows: Sequence[Row], ending: Ending) -> Iterator[Wrong]:
    done, undone = set(_steps(rows, ACTION)), set(_steps(rows, UNDO))
    match ending:
        case Ending.OPEN:
            yield Wrong.STUCK
        case Ending.PARKED:
            yield Wrong.PARKED
        case Ending.COMPLETED:
            if done != set(STEPS):
                yield Wrong.EFFECT_MISSING
            if undone:
                yield Wrong.BOTH
        case Ending.COMPENSATED:
            if done - undone:
                yield Wrong.BOTH if done == set(STEPS) else Wrong.LEFT_BEHIND


def _about_the_rows(rows: Sequence[Row]) -> Iterator[Wrong]:
    done, undone = _steps(rows, ACTION), _steps(rows, UNDO)
    if len(done) > len(set(done)):
        yield Wrong.EFFECT_TWICE
    if len(undone) > len(set(undone)):
        yield Wrong.UNDO_TWICE
    if set(undone) - set(done):
        yield Wrong.UNDO_OF_NOTHING
    if any(_undone_before(rows, step) for step in undone):
        yield Wrong.EFFECT_AFTER_UNDO
    forwards, backwards = _once_each(done), _once_each(undone)
    if forwards != _in_order(forwards) or backwards != _in_order(backwards)[::-1]:
        yield Wrong.OUT_OF_ORDER


def _steps(rows: Sequence[Row], operation: str) -> list[str]:
    return [row.step for row in rows if row.operation == operation]


def _once_each(steps: Sequence[str]) -> list[str]:
    return list(Counter(steps))


def _in_order(steps: Sequence[str]) -> list[str]:
    return sorted(steps, key=STEPS.index)


def _undone_before(rows: Sequence[Row], step: str) -> bool:
    operations = [row.operation for row in rows if row.step == step]
    return ACTION in operations[operations.index(UNDO) :]
