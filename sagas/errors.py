"""Every error of the package, one tree.

SagaError
├── DefinitionError        a step or a saga is declared wrongly; raised at import
├── ConfigurationError     a setting is missing or wrong, or ``sagas.setup(app)`` was not called
├── RecordNotReady         the record's tables are missing or old
├── PlanUnreadable         a newer version has written a saga's plan, or it is damaged
├── WrongDatabase          ``start(session=…)`` got a session on another database
├── InvalidInput           an input of its type that JSON cannot carry there and back
├── InvalidKey             a business key that cannot be stored or searched
├── InvalidPayload         an output that cannot be recorded, or an input that cannot be read
├── PayloadTooLarge        an input or an output is over ``saga_payload_limit_bytes``
├── KeyConflict            the key is taken by a saga with another input
├── SagaNotFound           no such saga in the record
├── ActionDeclined         a cancel, retry, skip or resolve that the saga's state does not allow
├── WaitTimeout            ``handle.wait()`` gave up; the saga goes on
├── StepFailed             raised by a participant: a refusal that certainly had no effect
├── SecretWithheld         stands in Celery's log for an error that quoted a secret
├── AttemptSuperseded      this attempt lost its saga to a newer one
├── OutputUnavailable      ``ctx.output_of()`` of a step that has no output
└── BarrierError           ``ctx.once()`` was used in a way that cannot be kept
    └── HangingAction      the action came after its own compensation, and was refused

Every error survives pickling, because Celery carries errors between processes.
"""

from typing import Any

__all__ = [
    "ActionDeclined",
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
    "SagaError",
    "SagaNotFound",
    "SecretWithheld",
    "StepFailed",
    "WaitTimeout",
    "WrongDatabase",
]


class SagaError(Exception):
    """The root of the tree."""


class DefinitionError(SagaError):
    """A step or a saga is declared in a way that cannot work; names it and the remedy."""


class ConfigurationError(SagaError):
    """A setting is missing or wrong; names it and the remedy."""


class RecordNotReady(SagaError):
    """The record's tables are missing or older than this package."""


class PlanUnreadable(SagaError):
    """A saga's plan says what this version does not know: the saga waits for one that does."""


class WrongDatabase(SagaError):
    """The caller's session is not on the record's database: the two could not commit together."""


class InvalidInput(SagaError, ValueError):
    """The input is of its type, and JSON cannot carry it there and back. No row was written."""


class InvalidKey(SagaError):
    """The business key is empty, too long, or holds control characters. No row was written."""


class KeyConflict(SagaError):
    """A saga with this name and key exists already, with another input. No row was written."""


class InvalidPayload(SagaError, ValueError):
    """A step's output cannot be recorded, or its input cannot be read; says where, and no value.

    In Celery's log it also stands for a ``pydantic.ValidationError``, which quotes values.
    """


class PayloadTooLarge(SagaError):
    """An input or an output is over ``saga_payload_limit_bytes``; an input wrote no row."""


class ActionDeclined(SagaError):
    """A cancel, retry, skip or resolve that the saga's state does not allow. Nothing changed."""


class SagaNotFound(SagaError):
    """The record holds no such saga."""


class WaitTimeout(SagaError, TimeoutError):
    """The saga did not end within the time given to ``wait()``. The saga itself is not touched."""


class SecretWithheld(SagaError):
    """A step's error quoted a secret of its saga: this stands for it where errors are shown."""


class AttemptSuperseded(SagaError):
    """Another attempt, or the compensation, took over: stop, and leave no further effect."""


class OutputUnavailable(SagaError):
    """The step that was asked for was skipped, has not succeeded, or is not in the saga."""


class BarrierError(SagaError):
    """``ctx.once()`` was used in a way in which "once" cannot be kept."""


class HangingAction(BarrierError):
    """The action came after its own compensation. It was refused and had no effect."""


class StepFailed(SagaError):
    """A business refusal, raised by an action: certainly no effect, no retry, undo what ran before.

    *code* is a short constant for programs (``"CARD_DECLINED"``), *message* a sentence for people.
    Raised in a compensation it means: this cannot be undone, do not retry, park the saga.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_step_failed, (type(self), self.message, self.code)


def _rebuild_step_failed(cls: type[StepFailed], message: str, code: str | None) -> StepFailed:
    return cls(message, code=code)
