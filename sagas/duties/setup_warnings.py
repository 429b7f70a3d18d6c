"""Warnings at the start of a worker about a set-up that sagas cannot run on well."""

import logging

from celery.exceptions import QueueNotFound

from sagas.decision import PATIENCE_LEASES
from sagas.errors import ConfigurationError
from sagas.runtime.app import Runtime
from sagas.runtime.queues import is_routed_by_function, knows_lengths, routed_queue

__all__ = ["warn_of_routes", "warn_of_transport"]

logger = logging.getLogger(__name__)


def warn_of_transport(runtime: Runtime) -> None:
    """Warn where the broker's transport does not report the length of its queues."""
    if knows_lengths(runtime.app):
        return
    logger.warning(
        "This broker's transport does not report how many messages wait in a queue, so a message "
        "that it loses is not missed at once: after %g s without a claim, a copy is sent. Use "
        "Redis or RabbitMQ for sagas.",
        PATIENCE_LEASES * runtime.settings.saga_lease_s,
    )


def warn_of_routes(runtime: Runtime) -> None:
    """Name each step whose messages reach no queue, or several."""
    for task in runtime.app.tasks.values():
        if not hasattr(task, "saga_queue"):
            continue
        if task.saga_queue is None and is_routed_by_function(runtime.app):
            continue  # it may need the arguments of a message
        try:
            routed_queue(runtime.app, task.name, task.saga_queue)
        except (ConfigurationError, QueueNotFound) as error:
            logger.error("No saga can run step %s: %s", task.name, error)  # noqa: TRY400 - no bug
