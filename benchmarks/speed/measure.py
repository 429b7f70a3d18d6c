"""Measures one contender once: a fresh database, its own client, its own workers."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

from benchmarks.speed.contenders import Contender
from benchmarks.speed.counting import counted
from benchmarks.speed.database import Watch, watch
from benchmarks.speed.ends import Ends, listening
from benchmarks.speed.parts import (
    Effort,
    Figures,
    Scene,
    check_record,
    latency,
    run,
    starts,
    throughput,
    traffic,
)
from benchmarks.speed.peers import interpreter
from benchmarks.speed.place import Place
from benchmarks.speed.processes import Caller, client, workers
from benchmarks.speed.servers import Servers

__all__ = ["count", "measure"]


def measure(contender: Contender, servers: Servers, effort: Effort) -> Figures:
    """Return the figures of one contender in one round; those that it does not have are left out.

    Raises:
        Broken: one of its processes has ended.
        Unfinished: its sagas have not ended in time, or not as they should.
    """
    figures: Figures = {}
    parts = (effort.warm_up, effort.sagas, effort.latencies, effort.starts)
    warm_up, crowd, singles, unserved = _consecutive(*parts)
    with (
        _place(servers) as place,
        watch(place.conninfo) as watched,
        _stage(contender, place) as stage,
    ):
        with stage.working(effort, watched if contender.keeps_record else None) as scene:
            run(scene, warm_up)
            figures |= throughput(scene, crowd)
            figures |= latency(scene, singles)
            check_record(scene, singles.stop)
            if contender.workers:
                figures["worker_mb"] = scene.workers.memory_mb()
        if (hot := watched.hot_share()) is not None:
            figures["hot_percent"] = 100 * hot
        if contender.workers:
            figures |= starts(stage.caller, unserved)
    return figures


def count(contender: Contender, servers: Servers, effort: Effort) -> Figures:
    """Return the figures that are counted and not timed; raises as ``measure`` does."""
    warm_up, counted_ones = _consecutive(effort.warm_up, effort.counted)
    with (
        _place(servers) as place,
        counted(place.record_url) as (record_url, sql),
        counted(place.redis_url) as (redis_url, redis),
        _stage(contender, replace(place, record_url=record_url, redis_url=redis_url)) as stage,
        stage.working(effort, None) as scene,
    ):
        run(scene, warm_up)
        return traffic(
            scene,
            counted_ones,
            sql=sql if contender.keeps_record else None,
            redis=redis if contender.uses_redis else None,
        )


@dataclass(frozen=True, slots=True)
class _Stage:
    """A contender whose client is up."""

    contender: Contender
    place: Place
    python: str
    ends: Ends
    caller: Caller

    @contextmanager
    def working(self, effort: Effort, watched: Watch | None) -> Iterator[Scene]:
        """Run its workers while the block runs."""
        one = self.contender
        command = one.command(self.python)
        log = Path(self.place.ends).with_name("worker.log")
        with workers(command, one.workers, self.place, log, one.environment) as running:
            yield Scene(effort, self.ends, self.caller, running, watched)


@contextmanager
def _stage(contender: Contender, place: Place) -> Iterator[_Stage]:
    python = str(interpreter(contender.peer)) if contender.peer else sys.executable
    log = Path(place.ends).with_name("client.log")
    with (
        listening(Path(place.ends)) as ends,
        client(python, contender.path, place, log, contender.environment) as caller,
    ):
        caller.prepare()
        yield _Stage(contender, place, python, ends, caller)


@contextmanager
def _place(servers: Servers) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        servers.database() as record_url,
        servers.empty_redis() as redis_url,
    ):
        directory = Path(name)
        yield Place(redis_url, record_url, str(directory / "ends"), str(directory / "calls"))


def _consecutive(*counts: int) -> list[range]:
    """Return numbers for each part, none of them twice."""
    return [range(*pair) for pair in pairwise(accumulate(counts, initial=0))]
