"""What the record and Celery's log say about the error that ended an attempt."""

import traceback
from typing import TypeGuard

from celery import Task
from celery.exceptions import TaskPredicate
from pydantic import ValidationError

from sagas.decision import AttemptError
from sagas.errors import (
    AttemptAborted,
    InvalidPayload,
    RetryAfter,
    SecretWithheld,
    StepFailed,
)
from sagas.payload import describe_error, text_of
from sagas.runtime.messages import CAUSE, TURN_BACK
from sagas.secret import scrub

__all__ = ["describe_attempt_error", "safe_to_log", "shortened", "tell_errbacks"]

_TRACEBACK_LIMIT = 10_000
_CAUSE_LIMIT = 300


def describe_attempt_error(error: BaseException, secrets: frozenset[str]) -> AttemptError:
    """Describe an error for the record, without the secrets of the saga's payloads."""
    return {
        "type": type(error).__name__,
        "message": describe_error(error, secrets),
        "code": _code_of(error),
        "traceback": "".join(traceback.format_tb(error.__traceback__))[-_TRACEBACK_LIMIT:],
    }


def _code_of(error: BaseException) -> str | None:
    code: object = error.code if isinstance(error, StepFailed) else None
    return code if code is None or isinstance(code, str) else text_of(code)


def safe_to_log(error: BaseException, secrets: frozenset[str]) -> Exception:
    """Return the error that Celery may handle, log, and send as an event to any listener.

    If it, or one of its causes, quotes a secret or an invalid payload, it is replaced by another;
    likewise if Celery would not treat it as the failure of a task.
    """
    shown = "".join(traceback.format_exception(error))
    if not _is_failure(error):
        aborted = AttemptAborted(f"{type(error).__name__}: {describe_error(error, secrets)}")
        return aborted.with_traceback(error.__traceback__)
    quotes_secret = scrub(shown, secrets) != shown
    if not quotes_secret and not isinstance(error, ValidationError):
        return error
    message = describe_error(error, secrets)
    if isinstance(error, StepFailed):
        return StepFailed(message, code=_code_of(error)).with_traceback(error.__traceback__)
    if isinstance(error, RetryAfter):
        return RetryAfter(error.seconds, message).with_traceback(error.__traceback__)
    stand_in = SecretWithheld if quotes_secret else InvalidPayload
    return stand_in(f"{type(error).__name__}: {message}").with_traceback(error.__traceback__)


def _is_failure(error: BaseException) -> TypeGuard[Exception]:
    """Tell whether Celery takes the error for the failure of its task, and can log it.

    It passes on or swallows a BaseException, obeys ``Ignore``, ``Reject`` and ``Retry``, and stops
    the worker for a MemoryError.
    """
    if not isinstance(error, Exception) or isinstance(error, TaskPredicate | MemoryError):
        return False
    try:
        str(error), repr(error)
    except BaseException:  # noqa: BLE001 - a participant's code, which may raise anything
        return False
    return True


def tell_errbacks(task: Task, error: Exception) -> None:
    """Give the errback of a task the error that kept this worker from its claim.

    The record has no place for it: the record is what could not be used.
    """
    # The first line says what is wrong; SQLAlchemy's others quote the statement and its values.
    cause = shortened(f"{type(error).__name__}: {text_of(error).partition(chr(10))[0]}")
    for errback in task.request.errbacks or ():
        if isinstance(errback, dict) and errback.get("task") == TURN_BACK:
            errback["kwargs"] = {CAUSE: cause}


def shortened(text: str) -> str:
    """Return a text that fits one line of a log or a page."""
    return "".join(c if c.isprintable() else " " for c in text[:_CAUSE_LIMIT])
