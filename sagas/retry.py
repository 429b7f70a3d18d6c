"""Retry policies: how often an attempt is repeated, and after which wait."""

import math
from dataclasses import dataclass
from datetime import timedelta

from sagas.errors import DefinitionError

__all__ = ["YEAR_S", "Retry", "to_seconds"]


#: The longest duration, in seconds: not every database can hold a moment further away.
YEAR_S = 366 * 86_400.0


def to_seconds(value: float | timedelta) -> float:
    """Return a duration in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


_NUMBERS = ("wait_initial", "wait_max", "wait_exp_base", "wait_jitter", "max_postponed")


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy: exponential backoff with jitter.

    The wait before attempt *n + 1* is ``wait_initial * wait_exp_base ** (n - 1)``, at most
    ``wait_max``. A share of it, ``wait_jitter``, is random, so that attempts that failed together
    do not come back together.

    Args:
        max_attempts: how many attempts in all, the first included; at least 1. An attempt that was
            lost with its worker is not counted.
        wait_initial: seconds (or a timedelta) before the second attempt.
        wait_max: upper bound of one wait, in seconds (or a timedelta).
        wait_exp_base: the factor from one wait to the next; at least 1.
        wait_jitter: the random share of each wait, from 0 to 1.
        max_losses: how many attempts may be lost with their worker, which a deployment or a crash
            cuts off; at least 1. With the last of them the step has failed: a step that kills its
            worker each time must end too.
        max_postponed: how long the participant may make the step wait in all, by ``RetryAfter``, in
            seconds (or a timedelta). Where it asks for more, the step has failed.

    Raises:
        DefinitionError: a value is out of its range.
    """

    max_attempts: int = 3
    wait_initial: float | timedelta = 0.5
    wait_max: float | timedelta = 60.0
    wait_exp_base: float = 2.0
    wait_jitter: float = 0.2
    max_losses: int = 5
    max_postponed: float | timedelta = 3600.0

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            # Floats throughout: 2 and 2.0 are one policy, and must give one plan.
            object.__setattr__(self, name, to_seconds(getattr(self, name)))
        for right, remedy in (
            (
                _is_count(self.max_attempts),
                "max_attempts counts the first attempt too: give 1 or more",
            ),
            (_is_count(self.max_losses), "max_losses counts the last loss too: give 1 or more"),
            (to_seconds(self.wait_initial) >= 0, "wait_initial is in seconds: give 0 or more"),
            (to_seconds(self.wait_max) >= 0, "wait_max is in seconds: give 0 or more"),
            (self.wait_exp_base >= 1, "wait_exp_base is the growth of the wait: give 1 or more"),
            (0 <= self.wait_jitter <= 1, "wait_jitter is a share: give a value from 0 to 1"),
            (to_seconds(self.wait_max) <= YEAR_S, "wait_max is too long: give a year at most"),
            (
                0 <= to_seconds(self.max_postponed) <= YEAR_S,
                "max_postponed is in seconds: give 0 or more, and a year at most",
            ),
        ):
            if not right:  # this form refuses NaN as well
                raise DefinitionError(f"{self!r}: {remedy}.")

    def wait_s(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after *attempt*; *chance*, from 0 to 1, chooses the jitter."""
        try:
            wait = to_seconds(self.wait_initial) * self.wait_exp_base ** (attempt - 1)
        except OverflowError:
            wait = math.inf
        # Zero times infinity is NaN, and means no wait.
        wait = 0.0 if math.isnan(wait) else min(wait, to_seconds(self.wait_max))
        return wait * (1 - self.wait_jitter * chance)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 1
