"""What the pool of a worker can do for sagas: which time limits it enforces, and what it leaves."""

import logging
from typing import Any

from celery import Celery
from celery.concurrency.prefork import TaskPool as PreforkPool

__all__ = ["ends_with_children", "warn_of_limits"]

logger = logging.getLogger(__name__)


def ends_with_children(pool: Any) -> bool:
    """Tell whether steps run in processes of their own, which end with the pool."""
    return isinstance(pool, PreforkPool)


def warn_of_limits(app: Celery, pool: Any) -> None:
    """Log one warning if steps have a timeout that this pool cannot enforce."""
    if ends_with_children(pool) or pool.is_green:
        return
    limited = sorted(
        name
        for name, task in app.tasks.items()
        if getattr(task, "saga_timeout_s", None) is not None
    )
    if limited:
        logger.warning(
            "This worker's pool (%s) cannot interrupt a step: timeout= of %s has no effect here. "
            "An attempt that overruns it goes on, and is neither retried nor undone until it has "
            "ended. Run these steps in the prefork pool if the timeout matters.",
            type(pool).__module__,
            ", ".join(limited),
        )
