"""Messages for tasks that this worker does not have, told of in the operator's words.

Celery discards them, runs no errback and makes no more of it: the saga waits, and its message is
sent again until a worker takes it that has the task.
"""

import logging
from typing import Any

from celery import Celery

from sagas.runtime.hand import Hand
from sagas.runtime.messages import QUEUE, SENT_AT, Link

__all__ = ["note_unknown"]

logger = logging.getLogger(__name__)


def note_unknown(app: Celery, hand: Hand, message: Any, task: str) -> None:
    """Log one line if the message is a step of a saga, and note that its queue has moved."""
    headers = message.headers or {}
    if SENT_AT not in headers:
        return
    match message.payload:
        case [args, *_] if (link := Link.read(args)) is not None:
            pass
        case _:
            return
    hand.note_moved(app, headers)
    logger.error(
        "This worker has no task %s, so step %s of saga %s waits: its message in queue %s is "
        "discarded here, and sent again until a worker takes it that has the task. Deploy one, "
        "or cancel the saga.",
        task,
        link.step,
        link.saga_id,
        headers.get(QUEUE),
    )
