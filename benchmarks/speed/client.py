"""The client of a contender: a process that prepares and starts its sagas when it is called.

Run as ``python -m benchmarks.speed.client MODULE`` with the contender's interpreter, so that only
the standard library is imported here.
"""

import importlib
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from benchmarks.speed.place import Order, here

__all__ = ["Program", "Started"]


class Program(Protocol):
    """What a contender's module defines.

    It may also define ``prepare()``, which sets up an empty database; ``start_many(orders)``, where
    it can start several at once; and ``recorded()``, which returns how many sagas its record says
    have ended as they should.
    """

    def start(self, order: Order) -> None:
        """Start a saga."""


class Started(NamedTuple):
    """How a number of starts went."""

    first_ns: int
    last_ns: int
    cpu_s: float

    @property
    def wall_s(self) -> float:
        """How long they took, in seconds."""
        return (self.last_ns - self.first_ns) * 1e-9


def main() -> None:
    """Answer calls, each a line of JSON, until the caller hangs up."""
    program = cast("Program", importlib.import_module(sys.argv[1]))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(here().calls)
        with caller.makefile("rw") as lines:
            for line in lines:
                name, *arguments = json.loads(line)
                answer = _CALLS[name](program, *arguments)
                lines.write(f"{json.dumps(answer)}\n")
                lines.flush()


def _prepare(program: Program) -> None:
    prepare = getattr(program, "prepare", None)
    if prepare:
        prepare()


def _start(program: Program, first: int, count: int) -> Started:
    orders = [here().order(number) for number in range(first, first + count)]

    def start_all() -> None:
        for order in orders:
            program.start(order)

    return _timed(start_all)


def _start_many(program: Program, first: int, count: int) -> Started | None:
    start_many = getattr(program, "start_many", None)
    if start_many is None:
        return None
    orders = [here().order(number) for number in range(first, first + count)]
    return _timed(lambda: start_many(orders))


def _recorded(program: Program) -> int | None:
    recorded = getattr(program, "recorded", None)
    return recorded() if recorded else None


def _timed(work: Callable[[], None]) -> Started:
    cpu_s, first_ns = time.process_time(), time.monotonic_ns()
    work()
    return Started(first_ns, time.monotonic_ns(), time.process_time() - cpu_s)


_CALLS: Mapping[str, Callable[..., Any]] = {
    "prepare": _prepare,
    "recorded": _recorded,
    "start": _start,
    "start_many": _start_many,
}

if __name__ == "__main__":
    main()
