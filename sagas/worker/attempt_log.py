"""What the log says about an attempt that ended badly."""

import logging

from sagas.decision import Errored, Refused, RetryLater
from sagas.errors import StepFailed
from sagas.record.store import Committed
from sagas.runtime.log_fields import of_saga
from sagas.worker.error_report import shortened

__all__ = ["log_failure", "retry_text"]

logger = logging.getLogger("sagas.attempts")


def log_failure(concluded: Committed, result: Refused | Errored, error: Exception | None) -> None:
    """Log one line with the error, the saga and the key; with a traceback unless it refused.

    *error* is what Celery may see: it quotes no payload and no secret.
    """
    (change,) = concluded.decision.steps
    saga = concluded.before
    refused = isinstance(error, StepFailed)
    logger.log(
        logging.INFO if refused else logging.WARNING,
        "Saga %s %s (%s): attempt %s of the %s of %s %s",
        saga.name,
        saga.key,
        saga.id,
        change.attempt,
        change.operation,
        change.name,
        f"was refused with {_text(result)}." if refused else _outcome(concluded, result),
        exc_info=None if refused else error,
        extra=of_saga(
            saga, step=change.name, operation=str(change.operation), attempt=change.attempt
        ),
    )


def retry_text(concluded: Committed, result: Errored, wait_s: float) -> str:
    """Return what Celery's own line about a retry says."""
    saga, (change,) = concluded.before, concluded.decision.steps
    return (
        f"saga {saga.name} {saga.key}, attempt {change.attempt} of the {change.operation}: "
        f"{_text(result)}; next in {wait_s:.1f} s"
    )


def _outcome(concluded: Committed, result: Refused | Errored) -> str:
    match result, concluded.decision.answer:
        case Refused(), _:
            return f"ended with {_text(result)}; it had no effect."
        case _, RetryLater(wait_s):
            return f"ended with {_text(result)}; its outcome is unknown, next in {wait_s:.1f} s."
        case _:
            return f"ended with {_text(result)}; its outcome is unknown, and no attempt follows."


def _text(result: Refused | Errored) -> str:
    error = result.error
    return shortened(f"{error.get('code') or error['type']}: {error['message']}")
