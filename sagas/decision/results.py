"""How an attempt ended."""

from dataclasses import dataclass

from sagas.decision.columns import AttemptError

__all__ = ["Errored", "Postponed", "Probed", "Refused", "Result", "Succeeded"]


@dataclass(frozen=True, slots=True)
class Probed:
    """The probe's answer: whether the action happened; *output* is JSON where it is known."""

    happened: bool
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action or the compensation returned; *output* is JSON.

    *probed*, here and below, is the probe's answer where the probe ran before the attempt.
    """

    output: str | None = None
    probed: Probed | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The participant refused: this attempt certainly had no effect, and a retry is pointless."""

    error: AttemptError
    probed: Probed | None = None


@dataclass(frozen=True, slots=True)
class Errored:
    """The attempt raised, timed out or was lost with its worker: it may have had its effect.

    *final*: a retry cannot succeed either. *lost*: the attempt was cut off with its worker or its
    process, which says nothing about the step.
    """

    error: AttemptError
    final: bool = False
    probed: Probed | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Postponed:
    """The participant asked to be called again after *wait_s* seconds.

    This attempt certainly had no effect, and it says nothing about the next one.
    """

    error: AttemptError
    wait_s: float
    probed: Probed | None = None


Result = Succeeded | Refused | Errored | Postponed
