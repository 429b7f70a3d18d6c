"""What came of one run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.kills.contenders import Contender
from benchmarks.kills.participant import Row
from benchmarks.kills.place import Variant
from benchmarks.kills.verdict import Ending, Wrong, judge

__all__ = ["Course", "LostMessages", "Result", "result_of"]


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went; durations are in seconds.

    ``quiet_after_s``: how long it took to end once the strikes were over and both workers ran
    again. ``quiet``: it ended before the deadline, so that none is wrong for want of time.
    """

    strikes: int
    worker_starts: int
    seconds: float
    quiet_after_s: float
    quiet: bool


@dataclass(frozen=True, slots=True)
class LostMessages:
    """One of them: what it was meant to do, what became of it, and its course if that is wrong."""

    number: int
    declines: bool
    ending: Ending
    wrong: Sequence[Wrong]
    rows: Sequence[Row]
    history: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run, and the evidence of each one that ended wrong.

    ``turned_back``: how many compensated, and rightly so, that were not meant to decline.
    """

    variant: Variant
    disturbance: str
    sagas: int
    course: Course
    turned_back: int
    wrong: Mapping[Wrong, int]
    evidence: Sequence[LostMessages]

    @property
    def right(self) -> int:
        """How many ended right."""
        return self.sagas - len(self.evidence)


def result_of(
    variant: Variant,
    disturbance: str,
    course: Course,
    contender: Contender,
    rows: Mapping[int, Sequence[Row]],
    declining: Mapping[int, bool],
) -> Result:
    """Judge each one; *declining* tells of every one that was started whether it was to decline."""
    judged = [
        _judged(contender, number, declines, rows.get(number, ()))
        for number, declines in declining.items()
    ]
    evidence = [replace(one, history=contender.history(one.number)) for one in judged if one.wrong]
    return Result(
        variant=variant,
        disturbance=disturbance,
        sagas=len(judged),
        course=course,
        turned_back=sum(_turned_back(one) for one in judged),
        wrong=dict(Counter(wrong for one in evidence for wrong in one.wrong)),
        evidence=evidence,
    )


def _judged(
    contender: Contender,
    number: int,
    declines: bool,  # noqa: FBT001 - private, and named by its place
    rows: Sequence[Row],
) -> LostMessages:
    ending = contender.ending(number, rows)
    return LostMessages(number, declines, ending, sorted(judge(rows, ending)), rows)


def _turned_back(one: LostMessages) -> bool:
    return one.ending is Ending.COMPENSATED and not one.declines and not one.wrong
