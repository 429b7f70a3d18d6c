"""A saga that cannot be advanced: it is counted and postponed, and stops no duty."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sagas.payload import text_of
from sagas.record.failed_sweeps import count_failed_sweep
from sagas.runtime.app import Runtime
from sagas.runtime.log_fields import log_fields

__all__ = ["postponed_on_error"]

logger = logging.getLogger(__name__)

#: Errors are truncated to this length.
_ERROR_LIMIT = 500


@contextmanager
def postponed_on_error(runtime: Runtime, saga_id: UUID) -> Iterator[None]:
    """Postpone the saga if the block raises, so that the caller can go on with the next one."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is counted and reported
        _postpone(runtime, saga_id, error)


def _postpone(runtime: Runtime, saga_id: UUID, error: BaseException) -> None:
    text = f"{type(error).__name__}: {text_of(error)}"[:_ERROR_LIMIT]
    timing, actor = runtime.timing, runtime.actor("sweep")
    failed_sweeps = runtime.database.write(
        lambda c: count_failed_sweep(c, saga_id, text, timing=timing, actor=actor)
    )
    if failed_sweeps is None:
        logger.info(
            "Saga %s could not be advanced (%s): it has ended, or another process has locked it.",
            saga_id,
            text,
            extra=log_fields(saga_id),
        )
        return
    logger.warning(
        "Saga %s could not be advanced, %s times in a row (%s); the sweep keeps trying.",
        saga_id,
        failed_sweeps,
        text,
        exc_info=error if failed_sweeps == 1 else None,
        extra=log_fields(saga_id),
    )
