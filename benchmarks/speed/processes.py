"""A contender's processes: started, called, measured, and stopped whatever happens."""

import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import psutil

from benchmarks.speed.client import Started
from benchmarks.speed.place import Place
from sagas.dev import start_guarded

__all__ = ["Broken", "Caller", "Workers", "client", "cpu_s", "workers"]

#: The directory from which the contenders import their modules.
_ROOT = Path(__file__).parents[2]

#: How long a process may take to come up or to answer, in seconds.
_PATIENCE_S = 600.0

_LOOK_S = 0.2

#: How long a worker may take to stop before it is killed.
_GRACE_S = 10.0


class Broken(Exception):
    """A contender's process has ended by itself; the message holds the end of its log."""


class Caller:
    """Calls the client of a contender."""

    def __init__(self, lines: TextIO, log: Path) -> None:
        self._lines = lines
        self._log = log

    def prepare(self) -> None:
        """Have the empty database set up."""
        self._call("prepare")

    def start(self, first: int, count: int) -> Started:
        """Have sagas started one by one, with numbers from *first*."""
        return Started(*self._call("start", first, count))

    def start_many(self, first: int, count: int) -> Started | None:
        """Have sagas started at once; None where the contender has no such call."""
        started = self._call("start_many", first, count)
        return Started(*started) if started else None

    def recorded(self) -> int | None:
        """Return how many sagas have ended by the record; None where there is no record."""
        return cast("int | None", self._call("recorded"))

    def _call(self, *call: object) -> Any:
        answer = ""
        with suppress(OSError):
            self._lines.write(f"{json.dumps(call)}\n")
            self._lines.flush()
            answer = self._lines.readline()
        if not answer:
            raise Broken(f"The client does not answer {call}. Its log ends:\n{_tail(self._log)}")
        return json.loads(answer)


@contextmanager
def client(
    python: str, module: str, place: Place, log: Path, environment: Mapping[str, str]
) -> Iterator[Caller]:
    """Run the contender's client while the block runs; it ends when nobody calls any longer."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.calls)
        listener.listen()
        command = [python, "-m", "benchmarks.speed.client", module]
        with (
            _running(command, place, log, environment) as process,
            _accepted(listener, process, log) as connection,
            connection.makefile("rw") as lines,
        ):
            yield Caller(lines, log)


def _accepted(
    listener: socket.socket, process: subprocess.Popen[bytes], log: Path
) -> socket.socket:
    listener.settimeout(_LOOK_S)
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            connection.settimeout(_PATIENCE_S)
            return connection
    raise Broken(f"The client does not come up. Its log ends:\n{_tail(log)}")


class Workers:
    """The running worker processes of a contender."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
        self._processes = processes
        self._log = log

    def check(self) -> None:
        """Raise Broken if one of them has ended."""
        if any(process.poll() is not None for process in self._processes):
            raise Broken(f"A worker has ended. {self.tail()}")

    def tail(self) -> str:
        """Return the end of their log."""
        return f"The log ends:\n{_tail(self._log)}" if self._processes else ""

    def cpu_s(self) -> float:
        """Return what they have used so far, with all their children, in seconds."""
        return cpu_s(self._tree())

    def memory_mb(self) -> float:
        """Return their memory in megabytes; what processes share is counted once."""
        return float(sum(process.memory_full_info().pss for process in self._tree())) / 1e6

    def _tree(self) -> list[psutil.Process]:
        mains = [psutil.Process(process.pid) for process in self._processes]
        return [one for main in mains for one in (main, *main.children(recursive=True))]


@contextmanager
def workers(
    command: Sequence[str], count: int, place: Place, log: Path, environment: Mapping[str, str]
) -> Iterator[Workers]:
    """Run this many workers while the block runs."""
    with _all_running([command] * count, place, log, environment) as processes:
        yield Workers(processes, log)


@contextmanager
def _all_running(
    commands: Sequence[Sequence[str]], place: Place, log: Path, environment: Mapping[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    if not commands:
        yield []
        return
    with (
        _running(commands[0], place, log, environment) as first,
        _all_running(commands[1:], place, log, environment) as others,
    ):
        yield [first, *others]


@contextmanager
def _running(
    command: Sequence[str], place: Place, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    # Guarded: it ends with this process, however this one ends, and Ctrl-C reaches this one only.
    variables = {**place.environment, "PYTHONPATH": str(_ROOT), **environment}
    process = start_guarded(command, log=log, cwd=_ROOT, env=variables)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        process.communicate(b"stop\n")


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU time that these processes have used, in seconds; those gone count nothing."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
