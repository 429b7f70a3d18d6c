"""Tells an exception that ends its process from one that only ends its step.

A library may call ``sys.exit()``, and a step may leak asyncio's ``CancelledError``: the worker goes
on after such a step. A process that is told to end learns it by an exception too, raised in the
middle of the step by a signal handler or by Celery.
"""

import signal
import sys
import threading
import traceback

from billiard.common import _shutdown_cleanup
from celery.exceptions import WorkerShutdown, WorkerTerminate

__all__ = ["ends_process", "is_cut_off"]


def ends_process(error: BaseException) -> bool:
    """Tell whether the exception tells this process to end, and must not be kept from Celery."""
    if isinstance(error, WorkerShutdown | WorkerTerminate):
        return True
    if not isinstance(error, SystemExit | KeyboardInterrupt):
        return False
    if isinstance(error, KeyboardInterrupt) and _python_handles_interrupts():
        return True
    return _is_raised_by_handler(error)


def is_cut_off(error: BaseException) -> bool:
    """Tell whether a cold shutdown or a revocation ended the step, and not the step itself.

    They kill a greenlet. In the solo pool Celery fails to end the step, and its handler's own error
    interrupts it.
    """
    greenlet = sys.modules.get("greenlet")
    if greenlet is not None and isinstance(error, greenlet.GreenletExit):
        return True
    return isinstance(error, NotImplementedError) and _is_raised_by_handler(error)


def _is_raised_by_handler(error: BaseException) -> bool:
    """Tell whether the handler of a signal, which may interrupt anything, has raised the error."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    # A pool's child takes its handler for SIGTERM away before it raises.
    codes = [getattr(handler, "__code__", None) for handler in (*handlers, _shutdown_cleanup)]
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _python_handles_interrupts() -> bool:
    """Tell whether Python's own handler, which leaves no frame, may interrupt this thread."""
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
