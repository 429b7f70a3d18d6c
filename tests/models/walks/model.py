"""A second statement of what a saga promises, based on its plan and on the answers that it gave.

The model uses no status, no column and no function of the decisions. It keeps what is known about
each step, which execution holds which step, and the direction of the saga. An answer that breaks a
promise fails at once, and ``check`` compares the saga with what it must be by now.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from sagas.decision import (
    Accepted,
    Answer,
    Errored,
    Postponed,
    Recorded,
    Refused,
    Result,
    Succeeded,
)
from sagas.plan import Plan, PlannedStep
from sagas.states import Operation
from tests.support.states import ACTION, COMPENSATION

__all__ = ["Held", "Known", "Model"]


class Known(Enum):
    """What is known about the effect of a step."""

    NONE = auto()  # nothing was attempted
    SKIPPED = auto()  # its condition did not hold
    MAYBE = auto()  # an attempt may have happened
    HAPPENED = auto()
    NOT = auto()  # the participant said no to every attempt
    UNDONE = auto()
    LEFT = auto()  # its compensation failed for good
    BY_HAND = auto()  # a person took responsibility for it


@dataclass(frozen=True)
class Held:
    """A claim: the step, its latest end, and whether its work may run."""

    token: str
    step: str
    operation: Operation
    until: datetime | None
    runs: bool


class Model:
    """One saga according to its contract."""

    def __init__(self, plan: Plan, skipped: set[str], deadline: datetime | None) -> None:
        self.plan = plan
        self.known = {
            step.name: Known.SKIPPED if step.name in skipped else Known.NONE for step in plan
        }
        #: Steps whose action is no longer attempted, and steps that are being undone.
        self.given_up: set[str] = set()
        self.undoing: set[str] = set()
        self.ended: set[str] = set()
        self.holder: Held | None = None
        self.deadline = deadline
        self.back = self.turning = self.passed = self.parked = self.resolved = False

    # Whose turn it is.

    def to_do(self) -> str | None:
        """Return the first step that the way forward needs."""
        return next((step.name for step in self.plan if not self.dealt_with(step)), None)

    def dealt_with(self, step: PlannedStep) -> bool:
        done = self.known[step.name] in (Known.HAPPENED, Known.SKIPPED, Known.BY_HAND)
        return done or (step.best_effort and step.name in self.given_up)

    def to_undo(self) -> str | None:
        """Return the last step that may have happened and that something can undo."""
        names = [step.name for step in self.plan if step.compensation and self.may_be(step.name)]
        return names[-1] if names else None

    def may_be(self, name: str) -> bool:
        return self.known[name] in (Known.MAYBE, Known.HAPPENED)

    def left_behind(self) -> list[str]:
        """Return the steps that matter and that nothing undid."""
        return [
            step.name
            for step in self.plan
            if self.known[step.name] is Known.LEFT or (self.may_be(step.name) and _for_good(step))
        ]

    def pivot_has_begun(self) -> bool:
        held = self.holder is not None and self.plan[self.holder.step].pivot
        return held or self.passed or self._pivot_may_be()

    def no_way_back(self) -> bool:
        """Tell whether the pivot happened, or may have and cannot be undone."""
        pivot = self.plan.pivot
        for_good = pivot is not None and pivot.compensation is None
        return self.passed or (for_good and self._pivot_may_be())

    def _pivot_may_be(self) -> bool:
        return self.plan.pivot is not None and self.may_be(self.plan.pivot.name)

    # The answers to workers.

    def granted(self, held: Held, now: datetime) -> None:
        assert self.holder is None, "two executions hold a step"
        assert not self.parked, "an attempt of a parked saga"
        if held.operation is ACTION:
            assert not self.back, "a saga went forward again"
            assert not self.turning, "an attempt of a saga that must turn back"
            assert self.deadline is None or now < self.deadline, "an attempt after the deadline"
            assert held.step == self.to_do(), "out of turn"
            assert held.step not in self.given_up, "an attempt after the last"
            self.deadline = None if self.plan[held.step].pivot else self.deadline
        else:
            assert self.back, "undone on the way forward"
            assert not self.passed, "undone past the pivot"
            assert held.step == self.to_undo(), "undone out of turn, or although it never happened"
            self.undoing.add(held.step)
        self.holder = held

    def concluded(self, token: str, result: Result, answer: Answer | None) -> None:
        """Take in the answer to an execution that reported its end; None means fenced."""
        if self.holder is not None and self.holder.token == token:
            assert answer is not None, "the holder of a step was fenced"
            self.end(result, answer)
            self.ended.add(token)
        else:
            assert answer is None or token in self.ended, "an outcome was accepted from a stranger"

    def end(self, result: Result, answer: Answer) -> None:
        """Take in the end of the running attempt, whoever found out about it."""
        assert self.holder is not None
        held, self.holder = self.holder, None
        over = isinstance(answer, Recorded)
        again = isinstance(result, Errored | Postponed)
        assert over or again, "a retry although the attempt neither errored nor was postponed"
        if held.operation is COMPENSATION:
            if over:
                good = isinstance(result, Succeeded)
                self.known[held.step] = Known.UNDONE if good else Known.LEFT
            return
        self.known[held.step] = self._after_action(held, result, over=over)
        if isinstance(result, Succeeded):
            self.passed |= self.plan[held.step].pivot
        elif over:
            self.given_up.add(held.step)
            self.turning |= not self.plan[held.step].best_effort

    def _after_action(self, held: Held, result: Result, *, over: bool) -> Known:
        if isinstance(result, Succeeded):
            return Known.HAPPENED
        if isinstance(result, Postponed) and not over:
            return self.known[held.step]  # nothing has happened that was not known before
        in_doubt = self.known[held.step] is Known.MAYBE
        # The probe was the last to run, and it said that nothing had happened.
        settled = not held.runs and result.probed is not None
        if isinstance(result, Refused | Postponed) and (settled or not in_doubt):
            return Known.NOT
        return Known.MAYBE

    # The answers to people.

    def cancelled(self, answer: Answer | None, *, over: bool) -> None:
        too_late = self.parked or (not self.back and (over or self.pivot_has_begun()))
        assert isinstance(answer, Accepted) is not too_late, answer
        self.turning |= not too_late
        self.deadline = self.deadline if too_late else None

    def retried(self, answer: Answer | None) -> None:
        again = self.stuck_at()
        if self.back:
            again = [name for name in again if self.known[name] is Known.LEFT]
        assert isinstance(answer, Accepted) is bool(again), answer
        for name in again:
            left = Known.NONE if self.known[name] is Known.NOT else Known.MAYBE
            self.known[name] = left
            self.given_up.discard(name)
        self._unpark(going=bool(again))

    def skipped(self, name: str) -> None:
        self.known[name] = Known.BY_HAND
        self.passed |= self.plan[name].pivot and not self.back
        self._unpark(going=not self.back or not self.left_behind())

    def _unpark(self, *, going: bool) -> None:
        if going:
            self.parked, self.turning = False, self.back

    def stuck_at(self) -> list[str]:
        """Return exactly the steps that a person must deal with where the saga is parked."""
        return self.left_behind() if self.back else [name for name in [self.to_do()] if name]


def _for_good(step: PlannedStep) -> bool:
    return not (step.compensation or step.best_effort or step.read_only)
