"""The result of one run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.kills.contenders import Contender
from benchmarks.kills.participant import Row
from benchmarks.kills.place import Variant
from benchmarks.kills.verdict import Ending, Wrong, judge

__all__ = ["Case", "Course", "Result", "result_of"]


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went; durations are in seconds.

    ``quiet_after_s``: how long it took to end after the strikes, once both workers were running
    again. ``quiet``: it ended before the deadline, so nothing is wrong just for lack of time.
    """

    strikes: int
    worker_starts: int
    seconds: float
    quiet_after_s: float
    quiet: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One saga: what it should do, what became of it, and its history if that is wrong."""

    number: int
    declines: bool
    ending: Ending
    wrong: Sequence[Wrong]
    rows: Sequence[Row]
    history: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run, with evidence of each saga that ended wrong.

    ``turned_back``: how many were correctly compensated although they were not meant to decline.
    """

    variant: Variant
    disturbance: str
    sagas: int
    course: Course
    turned_back: int
    wrong: Mapping[Wrong, int]
    evidence: Sequence[Case]

    @property
    def right(self) -> int:
        """How many ended correctly."""
        return self.sagas - len(self.evidence)


def result_of(
    variant: Variant,
    disturbance: str,
    course: Course,
    contender: Contender,
    rows: Mapping[int, Sequence[Row]],
    declining: Mapping[int, bool],
) -> Result:
    """Judge each saga; *declining* has all that were started, and whether each should decline."""
    cases = [
        _judge_case(contender, number, declines, rows.get(number, ()))
        for number, declines in declining.items()
    ]
    evidence = [
        replace(case, history=contender.history(case.number)) for case in cases if case.wrong
    ]
    return Result(
        variant=variant,
        disturbance=disturbance,
        sagas=len(cases),
        course=course,
        turned_back=sum(_turned_back(case) for case in cases),
        wrong=dict(Counter(wrong for case in evidence for wrong in case.wrong)),
        evidence=evidence,
    )


def _judge_case(
    contender: Contender,
    number: int,
    declines: bool,  # noqa: FBT001 - private, and clear from its position
    rows: Sequence[Row],
) -> Case:
    ending = contender.ending(number, rows)
    return Case(number, declines, ending, sorted(judge(rows, ending)), rows)


def _turned_back(case: Case) -> bool:
    return case.ending is Ending.COMPENSATED and not case.declines and not case.wrong
