"""What the record and Celery's log say about the error that ended an attempt."""

import traceback

from celery import Task
from pydantic import ValidationError

from sagas.decision import AttemptError
from sagas.errors import SecretWithheld, StepFailed
from sagas.payload import describe_error
from sagas.runtime.messages import CAUSE, TURN_BACK
from sagas.secret import scrubbed

__all__ = ["describe_attempt_error", "safe_to_log", "shortened", "tell_errbacks"]

_TRACEBACK_LIMIT = 10_000
_CAUSE_LIMIT = 300


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

    If it, or one of its causes, quotes a secret or an invalid payload, it is replaced by another.
    """
    shown = "".join(traceback.format_exception(error))
    if not isinstance(error, ValidationError) and scrubbed(shown, secrets) == shown:
        return error
    message = describe_error(error, secrets)
    if isinstance(error, StepFailed):
        return StepFailed(message, code=error.code).with_traceback(error.__traceback__)
    stand_in = SecretWithheld(f"{type(error).__name__}: {message}")
    return stand_in.with_traceback(error.__traceback__)


def tell_errbacks(task: Task, error: Exception) -> None:
    """Give the errback of a task the error that kept this worker from its claim.

    The record has no place for it: the record is what could not be used.
    """
    # The first line says what is wrong; SQLAlchemy's others quote the statement and its values.
    cause = shortened(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    for errback in task.request.errbacks or ():
        if isinstance(errback, dict) and errback.get("task") == TURN_BACK:
            errback["kwargs"] = {CAUSE: cause}


def shortened(text: str) -> str:
    """Return a text that fits one line of a log or a page."""
    return "".join(c if c.isprintable() else " " for c in text[:_CAUSE_LIMIT])
