"""``python -m tests.soak``: sagas on real workers, while everything breaks; ``make soak``.

The exit code is 0 only if every saga ended right and every kind of fault was done.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import func, select

from sagas.record import tables as t
from sagas.testing import ended_rows
from tests.soak.checks import found_wrong
from tests.soak.episodes import Episodes
from tests.soak.faults import KINDS
from tests.soak.measures import measure
from tests.soak.place import Place, soak_place
from tests.soak.progress import Progress
from tests.soak.report import Report
from tests.soak.scene import Scene
from tests.soak.shared import PARCELS
from tests.soak.strikes import Strikes
from tests.soak.tables import PLACES
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import Supervised, Worker

#: So many shops sell at once.
SHOPS = 3

#: One worker's clock is two hours fast.
AHEAD_S = 7200

#: The options and the environment of each worker. Parcels are packed by two of them, one of which
#: does nothing else.
WORKERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "w1": ([], {}),
    "threads": (["-P", "threads", "-Q", f"celery,{PARCELS}"], {}),
    "w3": (
        [],
        {"SOAK_CLOCK_AHEAD_S": str(AHEAD_S), "PYTHONPATH": str(Path(__file__).parent / "clock")},
    ),
    "next": ([], {"SOAK_VERSION": "2"}),
    "packer": (["-c", "2", "-Q", PARCELS], {}),
}


def main() -> int:
    """Run a soak, print its report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--sagas", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=45)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--report", type=Path, help="write the report to this file as well")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser.add_argument("--keep", type=Path, help="keep the logs in this directory")
    given = parser.parse_args()
    if given.faults < len(KINDS):
        parser.error(f"there are {len(KINDS)} kinds of faults: give --faults {len(KINDS)} or more")
    print(f"soak: seed {given.seed}", flush=True)
    report = soak(given)
    page = "\n".join(report.lines())
    print(page)
    if given.report:
        given.report.write_text(page + "\n", "utf-8")
    return 1 if report.problems else 0


def soak(given: argparse.Namespace) -> Report:
    """Let sagas run and faults strike; then wait until everything has ended, and look at it."""
    over_s = given.minutes * 60
    with soak_place() as place, ExitStack() as stack:
        if given.keep:
            stack.callback(shutil.copytree, place.logs, given.keep, dirs_exist_ok=True)
        scene = stack.enter_context(_processes(place, given))
        strikes, episodes = Strikes(scene), Episodes(scene)
        began = time.monotonic()
        episodes.begin()
        strikes.run(count=given.faults, over_s=over_s)
        print(f"soak: the faults are over after {time.monotonic() - began:.0f} s", flush=True)
        episodes.finish()
        place.closing.touch()
        for worker in scene.workers:  # the last of the next release: now each has every task
            worker.restart(SOAK_VERSION="2")
        ended_before = ended_rows(place.record)
        late = _wait_until_quiet(place, scene)
        logs = [worker.log for worker in scene.workers]
        measures = measure(place.record, place.services, strikes.done, logs)
        wrong = found_wrong(place, ended_before=ended_before)
        return Report(given.minutes, strikes, episodes, measures, [*late, *wrong])


@contextmanager
def _processes(place: Place, given: argparse.Namespace) -> Iterator[Scene]:
    def run(name: str, *words: str, once: bool, **env: str) -> Supervised:
        command = [sys.executable, "-m", f"tests.soak.{words[0]}", *words[1:]]
        environment = {**place.environment, **env}
        log = place.logs / f"{name}.log"
        return Supervised(command, log=log, env=environment, once=once)

    began = time.time()

    def shop(name: str, first: int, count: int, **env: str) -> Supervised:
        words = (str(first), str(first + count), f"{count / (given.minutes * 60):.5f}", f"{began}")
        return run(name, "shop", *words, str(place.closing), once=True, **env)

    few = max(given.sagas // 50, 1)
    each = (given.sagas - few) // SHOPS
    shops = [shop(f"shop-{n}", n * PLACES, each) for n in range(1, SHOPS + 1)]
    shops.append(shop("next-shop", (SHOPS + 1) * PLACES, few, SOAK_VERSION="2"))
    person = run("person", "person", once=False)
    workers = [_worker(place, name, *how) for name, how in WORKERS.items()]
    yield Scene(place, workers, shops, random.Random(given.seed), threading.Event())
    for process in (person, *shops, *workers):
        process.terminate()
    for process in (person, *shops, *workers):
        process.stop()


def _worker(place: Place, name: str, options: list[str], env: dict[str, str]) -> Worker:
    log = place.logs / f"{name}.log"
    environment = {**os.environ, **place.environment, **env}
    return Worker("tests.soak.app", "-c", "4", *options, log=log, env=environment, nursery=True)


def _wait_until_quiet(place: Place, scene: Scene) -> list[str]:
    """Wait until all is sold, every saga has ended, and no message is left; return what is not."""

    def told() -> bool:
        undelivered = select(func.count()).where(t.alert.c.due_at.is_not(None))
        return not place.record.read(lambda c: c.scalar(undelivered))

    def empty() -> bool:
        with place.redis.client() as client:
            waiting = client.llen("celery") + client.llen(PARCELS)
            return not waiting and not client.hlen("unacked")

    try:
        _wait_until_ended(place, scene)
        wait_until(told, what="every alert is delivered")
        wait_until(empty, what="no message is left")
    except AssertionError as error:
        return [str(error)]
    return []


def _wait_until_ended(place: Place, scene: Scene) -> None:
    """Wait for as long as one saga after the other ends."""
    progress = Progress(place)
    while not progress.hangs():
        if all(shop.ended for shop in scene.shops) and progress.all_ended:
            return
        time.sleep(0.5)
    raise AssertionError(f"for {HANG_S:.0f} s no saga has ended: {progress.counts}")


if __name__ == "__main__":
    sys.exit(main())
