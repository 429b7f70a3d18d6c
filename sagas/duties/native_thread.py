"""Threads of the operating system, also where gevent has made all others into greenlets.

A greenlet runs only while no other one computes. The heartbeat must go on meanwhile, or a step that
computes for longer than the lease would make its worker look dead.
"""

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["NativeEvent", "start_native"]


class NativeEvent:
    """An event that threads of the operating system and greenlets can both wait for."""

    def __init__(self) -> None:
        self._lock = _original("_thread", "allocate_lock")()
        self._lock.acquire()
        self._is_set = False

    def set(self) -> None:
        """Wake whoever waits."""
        if not self._is_set:
            self._is_set = True
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the event is set; return False if that takes too long."""
        if not self._lock.acquire(timeout=timeout_s):
            return False
        self._lock.release()
        return True


def start_native(run: Callable[[], None], *, name: str) -> None:
    """Run a function, which must not raise, in a daemon thread of the operating system."""
    if _gevent_patched():
        _original("_thread", "start_new_thread")(run, ())
    else:
        threading.Thread(target=run, name=name, daemon=True).start()


def _original(module: str, name: str) -> Any:
    if _gevent_patched():
        return sys.modules["gevent.monkey"].get_original(module, name)
    return getattr(importlib.import_module(module), name)


def _gevent_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
