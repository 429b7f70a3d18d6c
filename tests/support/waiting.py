"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until"]

_POLL_S = 0.01

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout_s: float = 10, what: str = "") -> T:
    """Return the first true value of *condition*; fail when *timeout_s* passes without one."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition}; last: {value!r}")
        time.sleep(_POLL_S)
    return value
