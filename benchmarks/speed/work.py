"""What every contender's steps do, and how the end of a saga is told; standard library only."""

import os
import time
from functools import cache

from benchmarks.speed.place import LAST, here

__all__ = ["Refused", "tell_end", "work"]


class Refused(Exception):
    """The last step refuses, before it has any effect."""


def work(index: int) -> None:
    """Do nothing, wait, or raise Refused, as the variant says."""
    place = here()
    if place.step_s:
        time.sleep(place.step_s)
    if place.refuses and index == LAST:
        raise Refused


def tell_end(number: int) -> None:
    """Write a saga's number and the time to the pipe: a few microseconds, the same for everyone."""
    os.write(_pipe(), b"%d %d\n" % (number, time.monotonic_ns()))


@cache
def _pipe() -> int:
    return os.open(here().ends, os.O_WRONLY)
