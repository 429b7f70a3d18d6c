"""The duties of a worker's main process: thin timers around ``beat_once`` and ``sweep_once``.

They are threads, so that they wait behind no pool and no queue, and so that they cease with the
main process whether it is killed or stopped. A pool's children inherit none of them, and are
forked only while the duties rest.
"""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from celery import bootsteps, signals

from sagas.errors import SagaError
from sagas.forking import ForkGuard
from sagas.runtime.alerting import Alerting
from sagas.runtime.app import Runtime
from sagas.runtime.hand import Hand
from sagas.runtime.liveness import Liveness
from sagas.runtime.sweep import Sweep
from sagas.runtime.unknown import note_unknown

__all__ = ["connect"]

logger = logging.getLogger(__name__)


class Timer:
    """Repeats one duty in a thread of its own until it is stopped."""

    def __init__(
        self,
        name: str,
        duty: Callable[[], object],
        interval_s: float,
        *,
        guards_itself: bool = False,
    ) -> None:
        self._name = name
        self._duty = duty
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failing = False
        self._guarded = nullcontext if guards_itself else ForkGuard().guarded

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the run that is under way, and wait for it a few seconds."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        # Jittered, so that the workers of one deployment do not all ask at one moment.
        while not self._stopping.wait(self._interval_s * random.uniform(0.7, 1.0)):
            self._run_once()

    def _run_once(self) -> None:
        try:
            with self._guarded():
                self._duty()
        except Exception as error:  # noqa: BLE001 - a duty outlives every outage
            if not self._failing:
                _log_failure(f"The saga {self._name} failed; it is repeated until it works", error)
            self._failing = True
        else:
            if self._failing:
                logger.info("The saga %s works again.", self._name)
            self._failing = False


class Duties:
    """What one worker does for sagas, besides running their steps."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self.hand = Hand()
        self._liveness = Liveness(runtime, self.hand)
        sweep = Sweep(runtime, self.hand)

        def look() -> None:
            self._liveness.bury_once()
            sweep.sweep_once()

        self._timers = [
            Timer("heartbeat", self._liveness.beat_once, settings.heartbeat_s),
            Timer("sweep", look, settings.saga_sweep_interval_s),
            # In a thread of its own, and no fork waits for a slow webhook.
            Timer(
                "alerts",
                Alerting(runtime).deliver_once,
                settings.saga_sweep_interval_s,
                guards_itself=True,
            ),
        ]

    def start(self) -> None:
        """Give the first sign of life, then begin the timers."""
        try:
            self._liveness.beat_once()
        except Exception as error:  # noqa: BLE001 - sagas must not keep a worker from its tasks
            _log_failure(
                "The saga record cannot be used yet; the worker starts all the same", error
            )
        for timer in self._timers:
            timer.start()

    def stop(self) -> None:
        """End the timers and this incarnation."""
        for timer in self._timers:
            timer.stop()
        try:
            self._liveness.leave()
        except Exception as error:  # noqa: BLE001 - a worker ends, whatever is away
            _log_failure("The worker could not sign off; its lease will run out instead", error)


def _log_failure(what: str, error: Exception) -> None:
    """Log what failed; the first line says why.

    An error that tells a person what to do needs no traceback.
    """
    first = str(error).partition("\n")[0]
    logger.error("%s: %s", what, first, exc_info=None if isinstance(error, SagaError) else error)


def connect(runtime: Runtime) -> None:
    """Let every worker of the app have its duties."""
    current: list[Duties] = []

    class SagaDuties(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """Starts once the pool has forked, and before the first message is received."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            del parent
            current.append(Duties(runtime))
            current[0].start()

    def enter(sender: Any = None, **_: Any) -> None:
        if sender is not None and sender.app is runtime.app:
            runtime.enter_worker(sender.hostname)

    def received(request: Any = None, **_: Any) -> None:
        if current:
            current[0].hand.note_received(request)

    def unknown(sender: Any = None, message: Any = None, name: str | None = None, **_: Any) -> None:
        if current and sender is not None and sender.app is runtime.app:
            note_unknown(runtime.app, current[0].hand, message, str(name))

    def leave(sender: Any = None, **_: Any) -> None:
        if current and sender is not None and sender.app is runtime.app:
            current.pop().stop()

    runtime.app.steps["worker"].add(SagaDuties)
    # The incarnation begins before the pool forks, so that its children know it; the duties end
    # after the pool has drained, so that what it still runs is not taken for dead.
    signals.worker_init.connect(enter, weak=False)
    signals.task_received.connect(received, weak=False)
    signals.task_unknown.connect(unknown, weak=False)
    signals.worker_shutdown.connect(leave, weak=False)
