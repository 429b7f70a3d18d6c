"""What is told of an error that an attempt ended with: to the record, and to Celery's log."""

import traceback
from typing import Any

from pydantic import ValidationError

from sagas.errors import SecretWithheld, StepFailed
from sagas.payload import describe_error
from sagas.secret import scrubbed

__all__ = ["described", "fit_to_show"]

_TRACEBACK_LIMIT = 10_000


def described(error: Exception, secrets: frozenset[str]) -> dict[str, Any]:
    """Describe an error for the record, without the secrets of the saga's payloads."""
    return {
        "type": type(error).__name__,
        "message": describe_error(error, secrets),
        "code": error.code if isinstance(error, StepFailed) else None,
        "traceback": "".join(traceback.format_tb(error.__traceback__))[-_TRACEBACK_LIMIT:],
    }


def fit_to_show(error: Exception, secrets: frozenset[str]) -> Exception:
    """Return the error that Celery may log, and send as an event to whoever listens.

    Where it, or one of its causes, quotes a secret, or a payload that is not valid, another one
    stands for it.
    """
    shown = "".join(traceback.format_exception(error))
    if not isinstance(error, ValidationError) and scrubbed(shown, secrets) == shown:
        return error
    message = describe_error(error, secrets)
    if isinstance(error, StepFailed):
        return StepFailed(message, code=error.code).with_traceback(error.__traceback__)
    stand_in = SecretWithheld(f"{type(error).__name__}: {message}")
    return stand_in.with_traceback(error.__traceback__)
