"""Runs schedules on all cores, or prints the story of one: ``python -m tests.models.schedules``."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.models.schedules.guards import missing
from tests.models.schedules.schedule import Run, run, simulate
from tests.models.schedules.stored import StoredRecord, sqlite_store
from tests.models.schedules.world import World

CHUNK = 500


def main() -> int:
    """Return 0 if every schedule ended correctly and nothing was missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.models.schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay this one, and tell its story")
    parser.add_argument("--stored", action="store_true", help="replay it on the SQLite store")
    given = parser.parse_args()
    if given.seed is not None and given.stored:
        with TemporaryDirectory() as folder, sqlite_store(Path(folder)) as sqlite:
            return _replay(World(given.seed, partial(StoredRecord, sqlite), story=True))
    if given.seed is not None:
        return _replay(World(given.seed, story=True))
    return _run_all(given.first, given.schedules)


def _replay(world: World) -> int:
    try:
        simulate(world)
        if isinstance(world.record, StoredRecord):
            world.record.compare_all()
    except Exception:  # noqa: BLE001 - it is shown below the story that led to it
        wrong = traceback.format_exc()
    else:
        wrong = ""
    _say("\n".join([*(world.story or ()), wrong]))
    return 1 if wrong else 0


def _run_all(first: int, schedules: int) -> int:
    total, began = Run(), time.monotonic()
    with Pool(os.cpu_count()) as pool:
        for part in pool.imap_unordered(run, _chunks(first, first + schedules)):
            total.add(part)
            for seed, error in part.failed.items():
                _say(f"\n{error}\nReplay it with: python -m tests.models.schedules --seed {seed}")
            rate = total.schedules / (time.monotonic() - began)
            failed = f"{len(total.failed)} failed"
            sys.stderr.write(f"\r{total.schedules} of {schedules}, {failed}, {rate:.0f}/s ")
    absent = missing(total.counts)
    counts = [f"{count:12} {what}" for what, count in sorted(total.counts.items())]
    what = f"{total.schedules} schedules, {len(total.failed)} failed; absent: {absent or 'nothing'}"
    _say("\n".join(["", *counts, what]))
    return 1 if total.failed or absent else 0


def _chunks(first: int, end: int) -> Iterator[range]:
    for start in range(first, end, CHUNK):
        yield range(start, min(start + CHUNK, end))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
