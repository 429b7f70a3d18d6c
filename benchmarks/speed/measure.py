"""Measures one contender once: a fresh database, its own client, its own workers."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.contenders import Contender
from benchmarks.speed.database import Watch, watch
from benchmarks.speed.ends import Ends, Unfinished, listening
from benchmarks.speed.place import Place
from benchmarks.speed.processes import Caller, Workers, client, workers
from benchmarks.speed.servers import Servers
from benchmarks.speed.summary import percentile

__all__ = ["Effort", "Figures", "measure"]

#: The figures of one contender in one round, by the name of the metric.
Figures = dict[str, float]

_BATCH = 1000
_MS = 1e3
_NS_TO_MS = 1e-6
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is run for one measurement.

    Attributes:
        sagas: how many the throughput is measured with.
        latencies: how many run one after another.
        starts: how many are started one by one without workers.
        warm_up: how many run before anything is measured.
        patience_s: how long all sagas of one part may take.
    """

    sagas: int
    latencies: int
    starts: int
    warm_up: int = 20
    patience_s: float = 120.0


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is at hand while a contender is measured."""

    effort: Effort
    ends: Ends
    caller: Caller
    watch: Watch
    running: Workers

    def wait(self, numbers: range) -> dict[int, int]:
        """Wait for the ends of sagas, as long as the workers live."""
        deadline = time.monotonic() + self.effort.patience_s
        while True:
            try:
                return self.ends.wait(numbers, timeout_s=1.0)
            except Unfinished:
                self.running.check()
                if time.monotonic() > deadline:
                    raise


def measure(contender: Contender, servers: Servers, effort: Effort) -> Figures:
    """Return the figures of one contender; those that it does not have are left out.

    Raises:
        Broken: one of its processes has ended.
        Unfinished: its sagas have not ended in time, or not as they should.
    """
    figures: Figures = {}
    with _place(servers) as place, listening(Path(place.ends)) as ends:
        logs, python = Path(place.ends).parent, sys.executable
        with (
            watch(place.conninfo) as watched,
            client(
                python, contender.path, place, logs / "client.log", contender.environment
            ) as caller,
        ):
            caller.prepare()
            with workers(
                contender.command(python),
                contender.workers,
                place,
                logs / "worker.log",
                contender.environment,
            ) as running:
                scene = _Scene(effort, ends, caller, watched, running)
                figures |= _with_workers(scene, contender)
            if (hot := watched.hot_share()) is not None:
                figures["hot_percent"] = 100 * hot
            if contender.workers:
                figures |= _starts(scene)
    return figures


@contextmanager
def _place(servers: Servers) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        servers.database() as record_url,
        servers.empty_redis() as redis_url,
    ):
        directory = Path(name)
        yield Place(redis_url, record_url, str(directory / "ends"), str(directory / "calls"))


def _with_workers(scene: _Scene, contender: Contender) -> Figures:
    effort = scene.effort
    warm_up = range(effort.warm_up)
    crowd = range(warm_up.stop, warm_up.stop + effort.sagas)
    single = range(crowd.stop, crowd.stop + effort.latencies)
    scene.caller.start(warm_up.start, len(warm_up))
    scene.wait(warm_up)
    figures = _throughput(scene, crowd, contender)
    figures |= _latency(scene, single)
    _check_record(scene, single.stop)
    if contender.workers:
        figures["worker_mb"] = scene.running.memory_mb()
    return figures


def _throughput(scene: _Scene, numbers: range, contender: Contender) -> Figures:
    workers_s, database_s = scene.running.cpu_s(), scene.watch.cpu_s()
    since = scene.watch.moment()
    started = scene.caller.start(numbers.start, len(numbers))
    last_ns = max(scene.wait(numbers).values())
    figures = {
        "sagas_s": len(numbers) / ((last_ns - started.first_ns) * 1e-9),
        "cpu_client_ms": _MS * started.cpu_s / len(numbers),
        "cpu_workers_ms": _MS * (scene.running.cpu_s() - workers_s) / len(numbers),
    }
    if contender.keeps_record:
        cpu_s, written = scene.watch.cpu_s() - database_s, scene.watch.written(since)
        figures["cpu_database_ms"] = _MS * cpu_s / len(numbers)
        figures["commits"] = written.commits / len(numbers)
        figures["wal_kb"] = written.bytes / 1000 / len(numbers)
    parts = ("cpu_client_ms", "cpu_workers_ms", "cpu_database_ms")
    return figures | {"cpu_ms": sum(figures.get(part, 0.0) for part in parts)}


def _latency(scene: _Scene, numbers: range) -> Figures:
    took = []
    for number in numbers:
        started = scene.caller.start(number, 1)
        ended_ns = scene.wait(range(number, number + 1))[number]
        took.append(_NS_TO_MS * (ended_ns - started.first_ns))
    return {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99)}


def _check_record(scene: _Scene, expected: int) -> None:
    """Wait until the record says of every saga that it has ended as it should."""
    deadline = time.monotonic() + scene.effort.patience_s
    while (recorded := scene.caller.recorded()) not in (None, expected):
        if time.monotonic() > deadline:
            raise Unfinished(f"The record says that {recorded} of {expected} sagas have ended.")
        time.sleep(_LOOK_S)


def _starts(scene: _Scene) -> Figures:
    effort = scene.effort
    first = effort.warm_up + effort.sagas + effort.latencies
    one_by_one = scene.caller.start(first, effort.starts)
    figures = {"starts_s": effort.starts / one_by_one.wall_s}
    at_once = scene.caller.start_many(first + effort.starts, _BATCH)
    return figures | ({"batch_starts_s": _BATCH / at_once.wall_s} if at_once else {})
