"""A soak in words: the same page in the terminal and in a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.soak.episodes import Episodes
from tests.soak.measures import Durations, Measures
from tests.soak.shared import ENDS
from tests.soak.strikes import Strikes

__all__ = ["Report"]

#: What a person or the engine did about a saga, by the note in its history.
_DONE = {
    "taken over": "an attempt was taken over from a worker that had died or was silent",
    "sent again": "a message that was lost was sent again",
    "sent": "a message that had never been published was sent",
    "cancelled": "a person cancelled",
    "cancel requested": "a person cancelled beneath a running step",
    "retried": "a person had a parked saga tried again",
    "FAILED": "a saga was parked",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a soak has to say."""

    minutes: float
    strikes: Strikes
    episodes: Episodes
    measures: Measures
    violations: Sequence[str]

    @property
    def absent(self) -> list[str]:
        """What did not occur, so that nothing is shown of it."""
        ends = {status for _, status in self.measures.ends}
        at_work = {worker for worker, _ in self.measures.ran}
        occurred = {
            "COMPLETED": "COMPLETED" in ends,
            "COMPENSATED": "COMPENSATED" in ends,
            "a null compensation": self.measures.null_compensations,
            "a fenced write": self.measures.fenced,
            "a sweep that took over": self.measures.events["taken over"],
            "a parked saga": self.measures.events["FAILED"],
            "an end that is no Exception": self.exits,
            "a step in a pool of threads": "threads" in at_work,
            "a step at the worker of one queue": "packer" in at_work,
        }
        kinds = {kind: self.strikes.by_kind[kind] for kind in self.strikes.kinds}
        return [what for what, count in {**occurred, **kinds}.items() if not count]

    @property
    def exits(self) -> int:
        """How many attempts ended with what is no Exception."""
        return sum(self.measures.errors[end.__name__] for end in ENDS)

    @property
    def strays(self) -> list[str]:
        """Which steps the worker of one queue ran that are not of this queue."""
        ran = {step for worker, step in self.measures.ran if worker == "packer"}
        return sorted(ran - {"pack"})

    @property
    def problems(self) -> list[str]:
        """Why the soak has failed; empty where it has not."""
        absent = [f"it did not occur: {what}" for what in self.absent]
        errors = [f"a fault could not be done: {error!r}" for error in self.strikes.errors]
        strays = [f"the worker of one queue ran another one's step: {name}" for name in self.strays]
        return [*self.violations, *absent, *strays, *errors, *self.episodes.errors]

    def lines(self) -> Iterator[str]:
        """Yield the page, as Markdown."""
        sagas, faults = sum(self.measures.ends.values()), len(self.strikes.done)
        yield f"{sagas:,} sagas, {faults:,} faults in {self.minutes:.0f} minutes, "
        yield f"**{len(self.violations)} violations** of the invariants.\n"
        yield "| saga | end | |\n|---|---|--:|"
        for (name, status), count in sorted(self.measures.ends.items()):
            yield f"| {name} | {status} | {count:,} |"
        yield "\n| what was done about it | |\n|---|--:|"
        for note, words in _DONE.items():
            yield f"| {words} | {self.measures.events[note]:,} |"
        yield f"| a compensation found nothing to undo | {self.measures.null_compensations:,} |"
        yield f"| an attempt that had been taken over was fenced | {self.measures.fenced:,} |"
        yield f"| an attempt ended with what is no Exception, and was repeated | {self.exits:,} |"
        yield "\n| seconds | how often | p50 | p99 | longest |\n|---|--:|--:|--:|--:|"
        yield _row("from the kill of a worker until its step was taken over", self.measures.killed)
        yield _row("from the loss of all messages until one was sent again", self.measures.lost)
        yield "\n| from the end of a fault to the next step done, in seconds |||||"
        yield "|---|--:|--:|--:|--:|"
        for kind, durations in sorted(self.measures.resumed.items()):
            yield _row(kind, durations)
        if self.problems:
            yield "\n"
            yield from (f"- {problem}" for problem in self.problems)


def _row(words: str, durations: Durations) -> str:
    figures = " | ".join(f"{durations.percentile(share):.2f}" for share in (0.5, 0.99, 1.0))
    return f"| {words} | {len(durations.values):,} | {figures} |"
