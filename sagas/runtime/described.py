"""What is told of an error that an attempt ended with: to the record, and to Celery's log."""

import traceback
from typing import Any

from pydantic import ValidationError

from sagas.errors import SagaError, StepFailed
from sagas.payload import describe_error

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
    """Return the error that Celery may log, and send as an event.

    Where it might quote a payload's values, or its causes might, another one stands for it.
    """
    if not secrets and not isinstance(error, ValidationError):
        return error
    message = describe_error(error, secrets)
    if isinstance(error, StepFailed):
        shown: Exception = StepFailed(message, code=error.code)
    else:
        shown = SagaError(f"{type(error).__name__}: {message}")
    return shown.with_traceback(error.__traceback__)
