"""The result backend of the engine's tasks: none, whatever the application has configured.

The record has the results. Without this, Celery subscribes to the result of each errback it sends,
and so a result backend that is down holds up every step that fails, for 20 seconds each.
"""

from typing import Any

from celery.backends.base import DisabledBackend

__all__ = ["no_results"]


def _backend(task: Any) -> DisabledBackend:
    kept = vars(task)
    if "_no_results" not in kept:
        kept["_no_results"] = DisabledBackend(task.app)
    return kept["_no_results"]


#: For the option ``backend`` of a shared task, which is made before its app is known.
no_results = property(_backend)
