"""Every error of the package, one tree.

SagaError
├── DefinitionError        a step or a saga is declared wrongly; raised at import
├── ConfigurationError     a setting is missing or wrong, or ``sagas.setup(app)`` was not called
├── RecordNotReady         the record's tables are missing or outdated
├── PlanUnreadable         a saga's plan is damaged, or a newer version has written it
├── WrongApplication       the record belongs to another application
├── WrongDatabase          ``start(session=…)`` got a session on another database
├── InvalidInput           an input that JSON cannot carry there and back
├── InvalidKey             a business key that cannot be stored or searched
├── InvalidPayload         an output that cannot be recorded, or an input that cannot be read
├── PayloadTooLarge        an input or an output exceeds ``saga_payload_limit_bytes``
├── KeyConflict            a saga with another input has the key already
├── SagaNotFound           no such saga in the record
├── ActionDeclined         the saga's state does not allow this cancel, retry, skip or resolve
├── WaitTimeout            ``handle.wait()`` gave up; the saga goes on
├── StepFailed             raised by a participant: a refusal that certainly had no effect
├── RetryAfter             raised by a participant: no effect now, to be called again later
├── SecretWithheld         replaces an error that quotes a secret in Celery's log
├── AttemptAborted         replaces an exception that is no failure to Celery
├── AttemptSuperseded      the saga has gone on without this attempt
├── OutputUnavailable      ``ctx.output_of()`` was asked for a step without an output
└── BarrierError           ``ctx.once()`` was used where it cannot keep its promise
    └── HangingAction      the action came after its own compensation, and was refused

Every error survives pickling, because Celery carries errors between processes.
"""

import math
from datetime import timedelta
from typing import Any

__all__ = [
    "ActionDeclined",
    "AttemptAborted",
    "AttemptSuperseded",
    "BarrierError",
    "ConfigurationError",
    "DefinitionError",
    "HangingAction",
    "InvalidInput",
    "InvalidKey",
    "InvalidPayload",
    "KeyConflict",
    "OutputUnavailable",
    "PayloadTooLarge",
    "PlanUnreadable",
    "RecordNotReady",
    "RetryAfter",
    "SagaError",
    "SagaNotFound",
    "SecretWithheld",
    "StepFailed",
    "WaitTimeout",
    "WrongApplication",
    "WrongDatabase",
]


class SagaError(Exception):
    """The base class of every error of the package."""


class DefinitionError(SagaError):
    """A step or a saga is declared wrongly; the message names it and the remedy."""


class ConfigurationError(SagaError):
    """A setting is missing or wrong; the message names it and the remedy."""


class RecordNotReady(SagaError):
    """The record's tables are missing or older than this package."""


class PlanUnreadable(SagaError):
    """This version cannot read a saga's plan: a newer version wrote it, or it is damaged."""


class WrongApplication(SagaError):
    """The record belongs to another application. Nothing was started."""


class WrongDatabase(SagaError):
    """The caller's session is on another database, so it cannot commit together with the record."""


class InvalidInput(SagaError, ValueError):
    """The input has the right type, but JSON cannot carry it there and back. No row was written."""


class InvalidKey(SagaError):
    """The business key is empty, too long, or has control characters. No row was written."""


class KeyConflict(SagaError):
    """A saga with this name and key exists already with another input. No row was written."""


class InvalidPayload(SagaError, ValueError):
    """A step's output cannot be recorded, or its input cannot be read; says where, and no value.

    In Celery's log it also stands for a ``pydantic.ValidationError``, which quotes values.
    """


class PayloadTooLarge(SagaError):
    """An input (no row was written) or an output exceeds ``saga_payload_limit_bytes``."""


class ActionDeclined(SagaError):
    """The saga's state does not allow this cancel, retry, skip or resolve. Nothing changed."""


class SagaNotFound(SagaError):
    """The record has no such saga."""


class WaitTimeout(SagaError, TimeoutError):
    """The saga did not end within the time given to ``wait()``. The saga itself goes on."""


class SecretWithheld(SagaError):
    """A step's error quoted a secret of its saga; this replaces it wherever errors are shown."""


class AttemptAborted(SagaError):
    """A step ended with an exception that is no failure to Celery, such as ``SystemExit``.

    This stands for it, so that Celery treats the attempt as failed; its outcome is UNKNOWN.
    """


class AttemptSuperseded(SagaError):
    """The saga has gone on without this attempt: stop, without any further effect."""


class OutputUnavailable(SagaError):
    """The step was skipped, has not succeeded, or is not in the saga."""


class BarrierError(SagaError):
    """``ctx.once()`` was used where it cannot guarantee that an effect happens once."""


class HangingAction(BarrierError):
    """The action arrived after its own compensation. It was refused and had no effect."""


class StepFailed(SagaError):
    """A refusal: the action certainly had no effect. It is not retried; earlier steps are undone.

    *code* is a short constant for programs (``"CARD_DECLINED"``), *message* a sentence for people.
    Raised by a compensation, it means that the step cannot be undone: the compensation is not
    retried, and the saga is parked.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_step_failed, (type(self), self.message, self.code)


def _rebuild_step_failed(cls: type[StepFailed], message: str, code: str | None) -> StepFailed:
    return cls(message, code=code)


class RetryAfter(SagaError):
    """The participant chose the wait: this attempt certainly had no effect, try again later.

    It counts as no attempt of the retry policy: the step, or its compensation, is run again after
    *seconds*, with the same idempotency key. ``Retry(max_postponed=…)`` bounds these waits, and the
    saga's deadline goes on meanwhile. A wait of less than a second takes one.

    Args:
        seconds: how long to wait, in seconds or as a timedelta.
        message: why, for people.

    Raises:
        ValueError: *seconds* is no such number. A header ``Retry-After`` may also hold a date.
    """

    def __init__(self, seconds: float | timedelta, message: str = "") -> None:
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"RetryAfter({seconds!r}): give seconds or a timedelta.")  # noqa: TRY004
        if math.isnan(seconds):
            raise ValueError("RetryAfter(nan): give seconds or a timedelta.")
        self.seconds = float(seconds)
        self.message = message or f"it asks to be called again in {self.seconds:g} s"
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.message)
