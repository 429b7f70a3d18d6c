"""Measures one contender once: a fresh database, its own client, its own workers."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

from benchmarks.speed.contenders import Contender
from benchmarks.speed.counting import Count, counted
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
from benchmarks.speed.variants import Variant

__all__ = ["count", "measure"]


def measure(contender: Contender, servers: Servers, effort: Effort, variant: Variant) -> Figures:
    """Return the figures of one contender in one round; those that it does not have are left out.

    Raises:
        Broken: one of its processes has ended.
        Unfinished: its sagas have not ended in time, or not as they should.
    """
    figures: Figures = {}
    parts = (effort.warm_up, effort.sagas, effort.latencies, effort.starts)
    warm_up, crowd, singles, unserved = _consecutive(*parts)
    with (
        _place(servers, variant) as place,
        _watch(contender, place) as watched,
        _stage(contender, place, variant) as stage,
    ):
        with stage.working(effort, watched) as scene:
            run(scene, warm_up)
            figures |= throughput(scene, crowd)
            figures |= latency(scene, singles)
            check_record(scene, singles.stop)
            if contender.workers:
                figures["worker_mb"] = scene.workers.memory_mb()
        if watched and (hot := watched.hot_share()) is not None:
            figures["hot_percent"] = 100 * hot
        if contender.workers:
            figures |= starts(stage.caller, unserved)
    return figures


def count(contender: Contender, servers: Servers, effort: Effort, variant: Variant) -> Figures:
    """Return the figures that are counted and not timed; raises as ``measure`` does."""
    warm_up, counted_ones = _consecutive(effort.warm_up, effort.counted)
    with (
        _place(servers, variant) as place,
        _counted(place.record_url if contender.keeps_record else None) as (record_url, sql),
        _counted(place.redis_url if contender.uses_redis else None) as (redis_url, redis),
    ):
        seen = replace(
            place, record_url=record_url or place.record_url, redis_url=redis_url or place.redis_url
        )
        with _stage(contender, seen, variant) as stage, stage.working(effort, None) as scene:
            run(scene, warm_up)
            return traffic(scene, counted_ones, sql=sql, redis=redis)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A contender whose client is up."""

    contender: Contender
    place: Place
    variant: Variant
    python: str
    ends: Ends
    caller: Caller

    @contextmanager
    def working(self, effort: Effort, watched: Watch | None) -> Iterator[Scene]:
        """Run its workers while the block runs."""
        one = self.contender
        command = one.command(self.python, *self.variant.worker_options)
        log = Path(self.place.ends).with_name("worker.log")
        with workers(command, one.workers, self.place, log, one.environment) as running:
            yield Scene(effort, self.ends, self.caller, running, watched)


@contextmanager
def _stage(contender: Contender, place: Place, variant: Variant) -> Iterator[_Stage]:
    python = str(interpreter(contender.peer)) if contender.peer else sys.executable
    log = Path(place.ends).with_name("client.log")
    with (
        listening(Path(place.ends)) as ends,
        client(python, contender.path, place, log, contender.environment) as caller,
    ):
        caller.prepare()
        yield _Stage(contender, place, variant, python, ends, caller)


@contextmanager
def _place(servers: Servers, variant: Variant) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        servers.empty_redis() as redis_url,
    ):
        directory = Path(name)
        ends, calls = str(directory / "ends"), str(directory / "calls")
        with _record(servers, variant, directory) as record_url:
            yield Place(
                redis_url=redis_url,
                record_url=record_url,
                ends=ends,
                calls=calls,
                step_s=variant.step_s,
                payload_bytes=variant.payload_bytes,
                refuses=variant.refuses,
            )


def _record(servers: Servers, variant: Variant, directory: Path) -> AbstractContextManager[str]:
    if variant.record == "sqlite":
        return nullcontext(f"sqlite:///{directory / 'record.db'}")
    if variant.record == "mariadb":
        return servers.mariadb_database()
    return servers.postgres_database(variant.settings)


def _watch(contender: Contender, place: Place) -> AbstractContextManager[Watch | None]:
    if contender.keeps_record and place.record_url.startswith("postgresql"):
        return watch(place.conninfo)
    return nullcontext()


def _counted(url: str | None) -> AbstractContextManager[tuple[str | None, Count | None]]:
    """Count what a server is asked, if it is one of those that can be counted."""
    if url and url.startswith(("postgresql", "redis")):
        return counted(url)
    return nullcontext((None, None))


def _consecutive(*counts: int) -> list[range]:
    """Return numbers for each part, none of them twice."""
    return [range(*pair) for pair in pairwise(accumulate(counts, initial=0))]
