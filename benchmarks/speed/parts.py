"""The parts of a measurement, each of which returns some of the figures."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.speed.counting import Count
from benchmarks.speed.database import Watch
from benchmarks.speed.ends import Ends
from benchmarks.speed.processes import Caller, Workers
from benchmarks.speed.summary import percentile

__all__ = [
    "Effort",
    "Figures",
    "Scene",
    "Unfinished",
    "check_record",
    "latency",
    "run",
    "starts",
    "throughput",
    "traffic",
]


class Unfinished(Exception):
    """Sagas have not ended in time, or not as they should."""


#: The figures of one contender in one round, by the name of the metric.
Figures = dict[str, float]

_BATCH = 1000
_MS = 1e3
_NS_TO_MS = 1e-6
_LOOK_S = 0.05
_IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is run for one measurement.

    Attributes:
        sagas: how many the throughput is measured with.
        latencies: how many run one after another.
        starts: how many are started one by one without workers.
        counted: how many run through the proxies.
        warm_up: how many run before anything is measured.
        patience_s: how long all sagas of one part may take.
    """

    sagas: int
    latencies: int
    starts: int
    counted: int
    warm_up: int = 20
    patience_s: int = 600


@dataclass(frozen=True, slots=True)
class Scene:
    """What is at hand while a contender is measured."""

    effort: Effort
    ends: Ends
    caller: Caller
    workers: Workers
    watch: Watch | None

    def wait(self, numbers: range) -> dict[int, int]:
        """Wait for the ends of sagas, as long as the workers live."""
        for _ in range(self.effort.patience_s):
            if ended := self.ends.wait(numbers, timeout_s=1.0):
                return ended
            self.workers.check()
            if self.watch:
                self.watch.cpu_s()  # it remembers what it has seen of connections that end
        raise Unfinished(
            f"Some of {len(numbers)} sagas have not ended within {self.effort.patience_s} s. "
            f"{self.workers.tail()}"
        )


def run(scene: Scene, numbers: range) -> None:
    """Run sagas without measuring anything."""
    scene.caller.start(numbers.start, len(numbers))
    scene.wait(numbers)


def throughput(scene: Scene, numbers: range) -> Figures:
    """Start sagas while the workers run, and measure what is used and written meanwhile."""
    watch, count = scene.watch, len(numbers)
    workers_s = scene.workers.cpu_s()
    database_s, since = (watch.cpu_s(), watch.moment()) if watch else (0.0, "")
    started = scene.caller.start(numbers.start, count)
    last_ns = max(scene.wait(numbers).values())
    figures = {
        "sagas_s": count / ((last_ns - started.first_ns) * 1e-9),
        "cpu_client_ms": _MS * started.cpu_s / count,
        "cpu_workers_ms": _MS * (scene.workers.cpu_s() - workers_s) / count,
    }
    if watch:
        cpu_s, written = watch.cpu_s() - database_s, watch.written(since)
        figures["cpu_database_ms"] = _MS * cpu_s / count
        figures["commits"] = written.commits / count
        figures["wal_kb"] = written.bytes / 1000 / count
    parts = ("cpu_client_ms", "cpu_workers_ms", "cpu_database_ms")
    return figures | {"cpu_ms": sum(figures.get(part, 0.0) for part in parts)}


def latency(scene: Scene, numbers: range) -> Figures:
    """Run sagas one after another."""
    took = []
    for number in numbers:
        started = scene.caller.start(number, 1)
        ended_ns = scene.wait(range(number, number + 1))[number]
        took.append(_NS_TO_MS * (ended_ns - started.first_ns))
    return {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99)}


def check_record(scene: Scene, expected: int) -> None:
    """Wait until the record says of every saga that it has ended as it should.

    Raises:
        Unfinished: it says something else.
    """
    deadline = time.monotonic() + scene.effort.patience_s
    while (recorded := scene.caller.recorded()) not in (None, expected):
        if time.monotonic() > deadline:
            raise Unfinished(f"The record says that {recorded} of {expected} sagas have ended.")
        time.sleep(_LOOK_S)


def starts(caller: Caller, numbers: range) -> Figures:
    """Start sagas that nobody runs, one by one and all at once."""
    one_by_one = caller.start(numbers.start, len(numbers))
    figures = {"starts_s": len(numbers) / one_by_one.wall_s}
    at_once = caller.start_many(numbers.stop, _BATCH)
    return figures | ({"batch_starts_s": _BATCH / at_once.wall_s} if at_once else {})


def traffic(scene: Scene, numbers: range, *, sql: Count | None, redis: Count | None) -> Figures:
    """Count what passes the proxies while nothing runs, and what sagas add to it."""
    idle = _passing(sql, redis, lambda: time.sleep(_IDLE_S))
    busy = _passing(sql, redis, lambda: run(scene, numbers))
    check_record(scene, numbers.stop)
    seconds = busy.pop("seconds") / idle.pop("seconds")
    added = {name: (busy[name] - seconds * idle[name]) / len(numbers) for name in busy}
    return added | {f"idle_{name}_s": found / _IDLE_S for name, found in idle.items()}


def _passing(sql: Count | None, redis: Count | None, work: Callable[[], None]) -> Figures:
    statements = sql.requests if sql else 0
    commands, size = (redis.requests, redis.bytes) if redis else (0, 0)
    since = time.monotonic()
    work()
    found: Figures = {"seconds": time.monotonic() - since}
    if sql:
        found["statements"] = sql.requests - statements
    if redis:
        found["redis_commands"] = redis.requests - commands
        found["redis_kb"] = (redis.bytes - size) / 1000
    return found
