"""Safe forks: none happens while a thread of ours holds a lock or uses a connection.

A prefork worker forks whenever it replaces a child. A lock that a thread of the parent holds at
that moment (Python's, the resolver's or SQLite's) stays locked in the child forever, and the child
hangs when it first needs it. A copied SQLite connection also relies on file locks that the child
does not have.

So threads work only inside ``guarded()``, and a fork waits for guarded work to finish. Then, before
the fork, the callbacks registered with ``before_fork`` close idle connections.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod, WeakSet

__all__ = ["ForkGuard", "before_fork"]


class ForkGuard:
    """A lock that a thread holds while it works, and a fork holds while it happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _guards.add(self)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let no fork happen while the block runs."""
        with self._lock:
            yield

    def acquire(self, *, wait: bool) -> bool:
        """Acquire the guard; *wait* for the current block to end. Tell whether it was acquired."""
        return self._lock.acquire(blocking=wait)

    def release(self) -> None:
        """Release the guard, so that the next block can begin."""
        self._lock.release()


_guards: WeakSet[ForkGuard] = WeakSet()
_acquired: list[ForkGuard] = []
_callbacks: list[WeakMethod[Callable[[], Any]]] = []


def before_fork(method: Callable[[], Any]) -> None:
    """Call a bound method before each fork of this process, as long as its object exists."""
    _callbacks.append(WeakMethod(method))


def _before() -> None:
    busy = _acquire_all(None)
    while busy is not None:
        _after()  # while it waits for one guard, all others are free: the heartbeat must go on
        busy = _acquire_all(busy)
    for callback in _callbacks:
        if (method := callback()) is not None:
            method()


def _acquire_all(awaited: ForkGuard | None) -> ForkGuard | None:
    """Acquire every guard, waiting only for *awaited*; return the first other one that is busy."""
    for guard in sorted(_guards, key=lambda guard: guard is not awaited):
        if not guard.acquire(wait=guard is awaited):
            return guard
        _acquired.append(guard)
    return None


def _after() -> None:
    while _acquired:
        _acquired.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
