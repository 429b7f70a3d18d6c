"""What a soak must have seen is made to happen: scripted episodes, each played until it has.

Faults at random may bring it about as well, and more often; no soak depends on that. An episode
buys something of its own, does what is to be done at the right moment, and looks for what came of
it. Where a fault or a person comes between, it is played again.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

import psutil
from sqlalchemy import func, select

from sagas import SagaStatus, StepStatus, barrier
from sagas.record import queries
from sagas.record.queries import HistoryEntry, SagaView
from tests.soak.scene import Scene
from tests.soak.shared import ENDS
from tests.soak.tables import CUSTOMERS, PLACES, PRODUCTS
from tests.support.waiting import HANG_S
from tests.support.workers import FENCED, Supervised, Worker

__all__ = ["Episodes"]

#: Behind every shop's place.
_FIRST = 100 * PLACES

#: Until an attempt that goes on tells its worker's log so; one whose end could not be written
#: never does.
_WORD_S = 60.0

#: For all episodes, once the faults are over: a machine may have a long backlog to work off first.
_ENOUGH_S = 3 * HANG_S

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase that an episode made: the name of its saga, and its key."""

    saga: str
    key: str


class Stage:
    """Where episodes are played."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._record = scene.place.record
        self.closed = threading.Event()
        self._numbers = count(_FIRST)

    def until(self, condition: Callable[[], object], *, at_most_s: float = math.inf) -> None:
        """Wait for a condition, but not longer than the stage is open."""
        over_at = time.monotonic() + at_most_s
        while not condition() and time.monotonic() < over_at and not self.closed.wait(_POLL_S):
            pass

    def buy(self, saga: str, **what: str) -> Bought:
        """Buy something, from a shop that is a process of its own."""
        number = next(self._numbers)
        who = {"product": number % PRODUCTS, "customer": number % CUSTOMERS}
        words = [saga, json.dumps({"number": number, **who, **what})]
        place = self.scene.place
        shop = Supervised(
            [sys.executable, "-m", "tests.soak.sale", *words],
            log=place.logs / "sales.log",
            env=place.environment,
            once=True,
        )
        self.until(lambda: shop.ended)
        return Bought(saga, f"P-{number}")

    def saga(self, bought: Bought) -> SagaView | None:
        """Return the saga of a purchase."""
        return self._record.read(lambda c: queries.saga_by_key(c, bought.saga, bought.key))

    def has_ended(self, bought: Bought, *statuses: SagaStatus) -> bool:
        """Tell whether its saga has ended, in one of these statuses if any are given."""
        found = self.saga(bought)
        wanted = statuses or (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)
        return found is not None and found.status in wanted

    def history(self, bought: Bought) -> Sequence[HistoryEntry]:
        """Return the history of its saga."""
        if (saga := self.saga(bought)) is None:
            return ()
        return self._record.read(lambda c: list(queries.history_of(c, saga.id)))

    def has_met(self, bought: Bought, event: str) -> bool:
        """Tell whether its saga's history has an event of the saga."""
        return any(e.step is None and e.event == event for e in self.history(bought))

    def meets(self, bought: Bought, event: str) -> bool:
        """Wait until its saga meets an event, or has ended without."""
        self.until(lambda: self.has_met(bought, event) or self.has_ended(bought))
        return self.has_met(bought, event)

    def holder(self, bought: Bought) -> Worker | None:
        """Wait until a worker runs the first attempt of the charge; None where none does any more.

        That attempt lingers: it ends only once it was taken over.
        """
        found: list[Worker] = []

        def is_running() -> bool:
            saga = self.saga(bought)
            steps: Sequence[queries.StepView] = ()
            if saga is not None:
                steps = self._record.read(lambda c: queries.steps_of(c, saga.id))
            held = [step for step in steps if step.status is StepStatus.RUNNING]
            name = (held[0].hostname or "").partition("@")[0] if held else ""
            found.extend(w for w in self.scene.workers if w.log.stem == name)
            return bool(found) or self.has_ended(bought)

        self.until(is_running)
        return found[0] if found else None


def _completes(stage: Stage) -> bool:
    bought = stage.buy("tip")
    stage.until(lambda: stage.has_ended(bought))
    return stage.has_ended(bought, SagaStatus.COMPLETED)


def _is_compensated(stage: Stage) -> bool:
    bought = stage.buy("short", refuse="charge")
    stage.until(lambda: stage.has_ended(bought))
    return stage.has_ended(bought, SagaStatus.COMPENSATED)


def _is_parked(stage: Stage) -> bool:
    """Undo what cannot be undone before a person has repaired it."""
    bought = stage.buy("short", refuse="charge", broken_undo="reserve")
    return stage.meets(bought, SagaStatus.FAILED)


def _exits(stage: Stage) -> bool:
    """End an attempt with what is no Exception; it is recorded at once, and repeated."""
    bought = stage.buy("short", exits="charge")
    stage.until(lambda: stage.has_ended(bought))
    errors = [(entry.detail or {}).get("error", {}).get("type") for entry in stage.history(bought)]
    return any(end.__name__ in errors for end in ENDS)


def _is_packed_by(worker: str, stage: Stage) -> bool:
    """Buy a parcel, and look whether this one of the two that pack it did."""
    bought = stage.buy("parcel")
    stage.until(lambda: stage.has_ended(bought))
    return any(
        entry.step == "pack" and (entry.detail or {}).get("hostname", "").startswith(f"{worker}@")
        for entry in stage.history(bought)
    )


def _undoes_nothing(stage: Stage) -> bool:
    """Compensate an action none of whose attempts came to its effect."""
    bought = stage.buy("short", down="charge")
    stage.until(lambda: stage.has_ended(bought))
    saga = stage.saga(bought)
    if saga is None:
        return False
    table = barrier.table.c
    tombstones = (
        table.saga_id == str(saga.id),
        table.operation == "action",
        table.made_by == "compensation",
    )
    query = select(func.count()).where(*tombstones)
    return bool(stage.scene.place.services.read(lambda c: c.scalar(query)))


def _is_taken_over(stage: Stage) -> bool:
    """Kill a worker with its pool, in the middle of an attempt."""
    bought = stage.buy("tip", lingers="charge")
    if (worker := stage.holder(bought)) is None:
        return False
    with suppress(psutil.NoSuchProcess, ProcessLookupError):  # a fault was quicker
        worker.kill()
    return stage.meets(bought, "taken over")


def _is_fenced(stage: Stage) -> bool:
    """Stop a worker in the middle of an attempt until that is taken over, and let it go on."""
    bought = stage.buy("tip", lingers="charge")
    worker, saga = stage.holder(bought), stage.saga(bought)
    if worker is None or saga is None:
        return False
    line = f"Saga {saga.id}, action of charge: dropped, {FENCED}"
    written = worker.log.stat().st_size

    def was_fenced() -> bool:
        with worker.log.open("rb") as log:
            log.seek(written)
            return line.encode() in log.read()

    def is_over() -> bool:
        return stage.has_met(bought, "taken over") or stage.has_ended(bought)

    try:
        processes = [worker.main, *worker.children]
        with _stopped(processes[0].pid) as stop:
            stage.until(lambda: stop() or is_over())
    except (psutil.NoSuchProcess, ProcessLookupError):  # a fault killed it meanwhile
        return False
    stage.until(lambda: was_fenced() or not all(map(_lives, processes)), at_most_s=_WORD_S)
    return was_fenced()


@contextmanager
def _stopped(group: int) -> Iterator[Callable[[], None]]:
    """Stop a process group, and again by what is yielded: a fault may let it go on."""

    def stop() -> None:
        os.killpg(group, signal.SIGSTOP)

    stop()
    try:
        yield stop
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


#: By what each brings about, in the words of the report.
EPISODES: dict[str, Callable[[Stage], bool]] = {
    "COMPLETED": _completes,
    "COMPENSATED": _is_compensated,
    "a null compensation": _undoes_nothing,
    "a fenced write": _is_fenced,
    "a sweep that took over": _is_taken_over,
    "a parked saga": _is_parked,
    "an end that is no Exception": _exits,
    "a step in a pool of threads": partial(_is_packed_by, "threads"),
    "a step at the worker of one queue": partial(_is_packed_by, "packer"),
}


class Episodes:
    """Plays every episode, each in a thread of its own."""

    def __init__(self, scene: Scene) -> None:
        self.errors: list[str] = []
        self._stage = Stage(scene)
        self._threads = [
            threading.Thread(target=self._play, args=item, name=item[0], daemon=True)
            for item in EPISODES.items()
        ]

    def begin(self) -> None:
        """Begin all of them."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until each has brought about what it is for; give up what does not come about."""
        over_at = time.monotonic() + _ENOUGH_S
        for thread in self._threads:
            thread.join(max(0.0, over_at - time.monotonic()))
        self._stage.closed.set()
        for thread in self._threads:
            thread.join()

    def _play(self, title: str, episode: Callable[[Stage], bool]) -> None:
        for number in count(1):
            try:
                done = episode(self._stage)
            except Exception as error:  # noqa: BLE001 - told at the end, where it fails the soak
                self.errors.append(f"{title}: {error!r}")
                return
            if done:
                print(f"soak: {title}, brought about at try {number}", flush=True)
                return
            if self._stage.closed.is_set():
                self.errors.append(f"{title}: not brought about in {number} tries")
                return
