"""The soft time limit of an attempt, where the engine itself must enforce it.

Celery's prefork pool interrupts a step by a signal. Its pools of greenlets do not know soft limits,
but their libraries can interrupt a greenlet when it yields. A thread cannot be interrupted at all.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

__all__ = ["soft_limit"]


def soft_limit(seconds: float | None) -> AbstractContextManager[object]:
    """Raise ``SoftTimeLimitExceeded`` in the block after *seconds*, if this is a greenlet.

    It is raised when the greenlet yields: a computation that never yields is not interrupted.
    """
    timeout = _timeout_of_greenlets()
    if seconds is None or timeout is None:
        return nullcontext()
    limit: AbstractContextManager[object] = timeout(seconds, SoftTimeLimitExceeded(seconds))
    return limit


def _timeout_of_greenlets() -> Any:
    """Return the Timeout of gevent or eventlet, None where neither runs this code."""
    # Neither is imported here: where one runs this code, its pool has imported it.
    gevent: Any = sys.modules.get("gevent")
    if gevent is not None and isinstance(gevent.getcurrent(), gevent.Greenlet):
        return gevent.Timeout
    eventlet: Any = sys.modules.get("eventlet.greenthread")
    if eventlet is not None and isinstance(eventlet.getcurrent(), eventlet.GreenThread):
        return sys.modules["eventlet.timeout"].Timeout
    return None
