"""What the log says about an attempt that ended badly."""

import logging

from sagas.decision import Errored, Postponed, Refused, RetryLater
from sagas.errors import RetryAfter, StepFailed
from sagas.record.store import Committed
from sagas.runtime.log_fields import of_saga
from sagas.worker.error_report import shortened

__all__ = ["log_failure", "retry_text"]

logger = logging.getLogger("sagas.attempts")


Ended = Refused | Errored | Postponed


def log_failure(concluded: Committed, result: Ended, error: Exception | None) -> None:
    """Log one line with the error, the saga and the key; with a traceback if it is unexpected.

    *error* is what Celery may see: it quotes no payload and no secret.
    """
    (change,) = concluded.decision.steps
    saga = concluded.before
    expected = isinstance(error, StepFailed | RetryAfter)
    logger.log(
        logging.INFO if expected else logging.WARNING,
        "Saga %s %s (%s): attempt %s of the %s of %s %s",
        saga.name,
        saga.key,
        saga.id,
        change.attempt,
        change.operation,
        change.name,
        _outcome(concluded, result, error),
        exc_info=None if expected else error,
        extra=of_saga(
            saga, step=change.name, operation=str(change.operation), attempt=change.attempt
        ),
    )


def retry_text(concluded: Committed, result: Errored | Postponed, wait_s: float) -> str:
    """Return what Celery's own line about a retry says."""
    saga, (change,) = concluded.before, concluded.decision.steps
    return (
        f"saga {saga.name} {saga.key}, attempt {change.attempt} of the {change.operation}: "
        f"{_text(result)}; next in {wait_s:.1f} s"
    )


def _outcome(concluded: Committed, result: Ended, error: Exception | None) -> str:
    match result, concluded.decision.answer:
        case Postponed(), RetryLater(wait_s):
            return f"was postponed with {_text(result)}; it had no effect, next in {wait_s:.1f} s."
        case Postponed(), _:
            return f"was postponed for the last time: {_as_recorded(concluded)}; it had no effect."
        case Refused(), _ if isinstance(error, StepFailed):
            return f"was refused with {_text(result)}."
        case Refused(), _:
            return f"ended with {_text(result)}; it had no effect."
        case _, RetryLater(wait_s):
            return f"ended with {_text(result)}; its outcome is unknown, next in {wait_s:.1f} s."
        case _:
            return f"ended with {_text(result)}; its outcome is unknown, and no attempt follows."


def _as_recorded(concluded: Committed) -> str:
    """Return the error in the record, which says why no wait follows."""
    (change,) = concluded.decision.steps
    error = change.values.get("error") or change.values.get("compensation_error")
    return shortened(f"{error['type']}: {error['message']}" if error else "")


def _text(result: Ended) -> str:
    error = result.error
    return shortened(f"{error.get('code') or error['type']}: {error['message']}")
