"""Forks that find no thread of ours in the middle of something.

A prefork worker forks whenever it replaces a child. What a thread of the parent holds at that
moment, a lock of Python, of the resolver or of SQLite, stays held in the child for ever, and the
child hangs at its first use. And SQLite's own notes about file locks are copied with an open
connection, so that a child takes locks for granted which it does not have.

So a thread works only ``guarded``, a fork waits for the guarded work under way, and before it
goes on, idle connections are closed by what was registered with ``before_fork``.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod, WeakSet

__all__ = ["ForkGuard", "before_fork"]


class ForkGuard:
    """Held by one thread while it works; a fork waits until it is free, and holds it meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _guards.add(self)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let no fork happen while the block runs."""
        with self._lock:
            yield

    def acquire(self, *, wait: bool) -> bool:
        """Take it, if need be after the block under way; tell whether it is taken."""
        return self._lock.acquire(blocking=wait)

    def release(self) -> None:
        """Let the next block begin."""
        self._lock.release()


_guards: WeakSet[ForkGuard] = WeakSet()
_held: list[ForkGuard] = []
_callbacks: list[WeakMethod[Callable[[], Any]]] = []


def before_fork(method: Callable[[], Any]) -> None:
    """Call a bound method before each fork of this process, for as long as its object lives."""
    _callbacks.append(WeakMethod(method))


def _before() -> None:
    busy = _take_all(None)
    while busy is not None:
        _after()  # nobody else is held up while one is waited for, least of all the heartbeat
        busy = _take_all(busy)
    for callback in _callbacks:
        if (method := callback()) is not None:
            method()


def _take_all(awaited: ForkGuard | None) -> ForkGuard | None:
    """Take every guard, *awaited* first and after a wait; return another one that is busy."""
    for guard in sorted(_guards, key=lambda guard: guard is not awaited):
        if not guard.acquire(wait=guard is awaited):
            return guard
        _held.append(guard)
    return None


def _after() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
