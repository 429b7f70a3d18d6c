"""Calls of the application's code that a duty waits for only so long."""

import threading
from collections.abc import Callable

from sagas.forking import ForkGuard
from sagas.payload import text_of

__all__ = ["BoundedCall"]

#: A fork waits this long for a call under way: what a quick call holds is never copied to a child.
GUARD_S = 1.0

#: After this time a call counts as failed, though it may still be running.
DEADLINE_S = 15.0


class BoundedCall:
    """Calls one function in a daemon thread, which may hang for ever; one call runs at a time."""

    def __init__(self, function: Callable[[], object], name: str, guard: ForkGuard) -> None:
        self._function = function
        self._guard = guard
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def runs(self) -> bool:
        """Whether the call has not returned."""
        return self._thread.is_alive()

    def run(self) -> None:
        """Call the function and wait for it.

        Raises:
            TimeoutError: it has not returned within the deadline.
            RuntimeError: it raised what is no Exception.
            Exception: whatever else it raised.
        """
        with self._guard.guarded():
            self._thread.start()
            self._thread.join(GUARD_S)
        self._thread.join(DEADLINE_S - GUARD_S)
        if self.runs:
            raise TimeoutError(f"it has not returned within {DEADLINE_S:g} s")
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:
            raise RuntimeError(f"{type(self._error).__name__}: {text_of(self._error)}")

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - the duty's thread reports it
            self._error = error
