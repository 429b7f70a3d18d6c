"""What the record and Celery's log say about the error that ended an attempt."""

import traceback

from pydantic import ValidationError

from sagas.decision import AttemptError
from sagas.errors import InvalidPayload, SagaError, SecretWithheld, StepFailed
from sagas.payload import describe_error
from sagas.secret import scrubbed

__all__ = ["describe_attempt_error", "safe_to_log"]

_TRACEBACK_LIMIT = 10_000


def describe_attempt_error(error: Exception, secrets: frozenset[str]) -> AttemptError:
    """Describe an error for the record, without the secrets of the saga's payloads."""
    return {
        "type": type(error).__name__,
        "message": describe_error(error, secrets),
        "code": error.code if isinstance(error, StepFailed) else None,
        "traceback": "".join(traceback.format_tb(error.__traceback__))[-_TRACEBACK_LIMIT:],
    }


def safe_to_log(error: Exception, secrets: frozenset[str]) -> Exception:
    """Return the error that Celery may log and send as an event to any listener.

    It is replaced by another if it, or one of its causes, quotes a secret, if it quotes an invalid
    payload, or if it cannot be shown.
    """
    shown = "".join(traceback.format_exception(error))
    quotes_secret = scrubbed(shown, secrets) != shown
    if not quotes_secret and not isinstance(error, ValidationError) and _can_be_shown(error):
        return error
    message = describe_error(error, secrets)
    if isinstance(error, StepFailed):
        return StepFailed(message, code=error.code).with_traceback(error.__traceback__)
    stand_in = _stand_in(error, quotes_secret=quotes_secret)
    return stand_in(f"{type(error).__name__}: {message}").with_traceback(error.__traceback__)


def _stand_in(error: Exception, *, quotes_secret: bool) -> type[SagaError]:
    if quotes_secret:
        return SecretWithheld
    return InvalidPayload if isinstance(error, ValidationError) else SagaError


def _can_be_shown(error: Exception) -> bool:
    try:
        return isinstance(str(error), str) and isinstance(repr(error), str)
    except Exception:  # noqa: BLE001 - its __str__ and __repr__ are the application's
        return False
