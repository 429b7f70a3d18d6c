"""The named pipe on which contenders tell that a saga has ended, and when."""

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Ends", "listening"]


class Ends:
    """When each saga has ended, by its number, in nanoseconds of the monotonic clock."""

    def __init__(self) -> None:
        self._at_ns: dict[int, int] = {}
        self._changed = threading.Condition()

    def take(self, lines: bytes) -> None:
        """Take what contenders have written: a number and a time a line."""
        with self._changed:
            for line in lines.splitlines():
                number, at_ns = map(int, line.split())
                self._at_ns.setdefault(number, at_ns)
            self._changed.notify_all()

    def wait(self, numbers: Collection[int], *, timeout_s: float) -> dict[int, int] | None:
        """Wait until these sagas have ended, and return when; None where some have not in time."""
        wanted = set(numbers)
        with self._changed:
            if not self._changed.wait_for(lambda: self._at_ns.keys() >= wanted, timeout_s):
                return None
            return {number: self._at_ns[number] for number in numbers}


@contextmanager
def listening(pipe: Path) -> Iterator[Ends]:
    """Make the pipe, and yield what is written to it while the block runs."""
    os.mkfifo(pipe)
    ends = Ends()
    # Open for writing too, so that it never ends while contenders come and go.
    descriptor = os.open(pipe, os.O_RDWR)
    reader = threading.Thread(target=_read, args=(descriptor, ends), daemon=True)
    reader.start()
    try:
        yield ends
    finally:
        os.write(descriptor, b"\n")
        reader.join()
        os.close(descriptor)


def _read(descriptor: int, ends: Ends) -> None:
    rest = b""
    while (read := os.read(descriptor, 65536)) != b"\n":
        whole, _, rest = (rest + read).rpartition(b"\n")
        ends.take(whole)
