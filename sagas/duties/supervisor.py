"""The duties of a worker's main process, and the threads that repeat them.

Threads, so that no duty waits behind a full pool or a long queue, and so that all of them cease
with the main process, whether it is killed or stopped. A pool's children do not inherit them, and
are forked only while no duty is at work.
"""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from celery import bootsteps, signals
from celery.exceptions import QueueNotFound

from sagas.duties.alerts import Alerts
from sagas.duties.expire_workers import ExpireWorkers
from sagas.duties.extend import Extend
from sagas.duties.heartbeat import Heartbeat
from sagas.duties.in_flight import InFlight
from sagas.duties.reclaim import Reclaim
from sagas.duties.sweep import Sweep
from sagas.duties.unregistered_tasks import note_unregistered
from sagas.errors import ConfigurationError, SagaError
from sagas.forking import ForkGuard
from sagas.runtime.app import Runtime
from sagas.runtime.queues import knows_lengths, routed_queue

__all__ = ["connect"]

logger = logging.getLogger(__name__)


class Duty:
    """One duty; its failures are logged once, until it works again."""

    def __init__(
        self, name: str, once: Callable[[], object], *, guards_itself: bool = False
    ) -> None:
        self.name = name
        self._once = once
        self._failing = False
        self._guarded = nullcontext if guards_itself else ForkGuard().guarded

    def run_once(self) -> None:
        """Run the duty; never raises."""
        try:
            with self._guarded():
                self._once()
        except Exception as error:  # noqa: BLE001 - a duty outlives every outage
            if not self._failing:
                _log_failure(f"The saga {self.name} failed; it is repeated until it works", error)
            self._failing = True
        else:
            if self._failing:
                logger.info("The saga %s works again.", self.name)
            self._failing = False


class Timer:
    """Repeats duties, one after the other, in one thread."""

    def __init__(self, *duties: Duty, every_s: float) -> None:
        self._duties = duties
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=duties[-1].name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the duty that is running, and wait for it a few seconds."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        # With jitter, so that the workers of a deployment do not all query at the same time.
        while not self._stopping.wait(self._every_s * random.uniform(0.7, 1.0)):
            for duty in self._duties:
                if not self._stopping.is_set():
                    duty.run_once()


class Supervisor:
    """Runs the duties of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.in_flight = InFlight()
        self._heartbeat = Heartbeat(runtime, self.in_flight)
        self._expire_workers = ExpireWorkers(runtime, self._heartbeat)
        interval_s = runtime.settings.saga_sweep_interval_s
        self._timers = [
            Timer(
                Duty("heartbeat", self._heartbeat.heartbeat_once),
                every_s=runtime.settings.heartbeat_s,
            ),
            Timer(
                Duty("expiry of workers", self._expire_workers.expire_once),
                Duty("extension", Extend(runtime, self.in_flight).extend_once),
                Duty("reclaim", Reclaim(runtime, self.in_flight).reclaim_once),
                Duty("sweep", Sweep(runtime, self.in_flight).sweep_once),
                every_s=interval_s,
            ),
            Timer(  # in a thread of its own, and without a guard: no fork waits for a slow webhook
                Duty("alerts", Alerts(runtime).deliver_once, guards_itself=True),
                every_s=interval_s,
            ),
        ]

    def start(self) -> None:
        """Write the first heartbeat, then start the timers."""
        _warn_of_transport(self._runtime)
        _warn_of_routes(self._runtime)
        try:
            self._heartbeat.heartbeat_once()
        except Exception as error:  # noqa: BLE001 - sagas must not keep a worker from its tasks
            _log_failure(
                "The saga record cannot be used yet; the worker starts all the same", error
            )
        for timer in self._timers:
            timer.start()

    def stop(self) -> None:
        """Stop the timers and end this incarnation."""
        for timer in self._timers:
            timer.stop()
        try:
            self._expire_workers.leave()
        except Exception as error:  # noqa: BLE001 - a worker ends even if the database is away
            _log_failure("The worker could not sign off; its lease will run out instead", error)


def _log_failure(what: str, error: Exception) -> None:
    """Log what failed, with the reason in the first line.

    An error that says what to do needs no traceback.
    """
    reason = str(error).partition("\n")[0]
    logger.error("%s: %s", what, reason, exc_info=None if isinstance(error, SagaError) else error)


def _warn_of_transport(runtime: Runtime) -> None:
    if knows_lengths(runtime.app):
        return
    logger.warning(
        "This broker's transport does not report how many messages wait in a queue, so a message "
        "that it loses is not missed, and its saga waits until its deadline. Use Redis or RabbitMQ "
        "for sagas, or give each saga a deadline."
    )


def _warn_of_routes(runtime: Runtime) -> None:
    """Name each step whose messages reach no queue, or several."""
    for task in runtime.app.tasks.values():
        if not hasattr(task, "saga_queue"):
            continue
        try:
            routed_queue(runtime.app, task.name, task.saga_queue)
        except (ConfigurationError, QueueNotFound) as error:
            logger.error("No saga can run step %s: %s", task.name, error)  # noqa: TRY400 - no bug


def connect(runtime: Runtime) -> None:
    """Give every worker of the app its duties."""
    current: list[Supervisor] = []

    class SagaDuties(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """Starts after the pool has forked, and before the first message is received."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            del parent
            current.append(Supervisor(runtime))
            current[0].start()

    def enter(sender: Any = None, **_: Any) -> None:
        if sender is not None and sender.app is runtime.app:
            runtime.enter_worker(sender.hostname)

    def received(request: Any = None, **_: Any) -> None:
        if current:
            current[0].in_flight.note_received(request)

    def unregistered(
        sender: Any = None, message: Any = None, name: str | None = None, **_: Any
    ) -> None:
        if current and sender is not None and sender.app is runtime.app:
            note_unregistered(runtime.app, current[0].in_flight, message, str(name))

    def leave(sender: Any = None, **_: Any) -> None:
        if current and sender is not None and sender.app is runtime.app:
            current.pop().stop()

    runtime.app.steps["worker"].add(SagaDuties)
    # The incarnation begins before the pool forks, so that the children know it. The duties end
    # after the pool has drained, so that the attempts that still run do not count as lost.
    signals.worker_init.connect(enter)
    signals.task_received.connect(received)
    signals.task_unknown.connect(unregistered)
    signals.worker_shutdown.connect(leave)
    # The signals hold their receivers weakly, so that an app that is dropped can go.
    runtime.receivers = (enter, received, unregistered, leave)
