"""Messages for tasks that this worker does not have, logged in the operator's terms.

Celery discards such a message and runs no errback: the saga waits, and its message is sent again
until a worker that has the task receives it.
"""

import logging
from typing import Any

from celery import Celery

from sagas.duties.in_flight import InFlight
from sagas.runtime.log_fields import log_fields
from sagas.runtime.messages import QUEUE, SENT_AT, Link

__all__ = ["note_unregistered"]

logger = logging.getLogger(__name__)


def note_unregistered(app: Celery, in_flight: InFlight, message: Any, task: str) -> None:
    """Log one line if the message is a step of a saga, and note that its queue has moved."""
    headers = message.headers or {}
    if SENT_AT not in headers:
        return
    match message.payload:
        case [args, *_] if (link := Link.read(args)) is not None:
            pass
        case _:
            return
    in_flight.note_moved(app, headers, (message.properties or {}).get("priority"))
    logger.error(
        "This worker has no task %s, so step %s of saga %s cannot run here: its message in queue "
        "%s is discarded, and sent again until a worker that has the task receives it. Deploy such "
        "a worker, or cancel the saga.",
        task,
        link.step,
        link.saga_id,
        headers.get(QUEUE),
        extra=log_fields(link.saga_id, step=link.step, epoch=link.epoch),
    )
