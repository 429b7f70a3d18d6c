"""The duties of a worker's main process, and the threads that repeat them.

Threads, so that no duty waits behind a full pool or a long queue, and so that all of them cease
with the main process, whether it is killed or stopped. A pool's children do not inherit them, and
are forked only while no duty is at work.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

from sagas.duties.alerts import Alerts
from sagas.duties.expire_workers import ExpireWorkers
from sagas.duties.extend import Extend, ExtendAttempts
from sagas.duties.heartbeat import Heartbeat
from sagas.duties.in_flight import InFlight
from sagas.duties.native_thread import NativeEvent, start_native
from sagas.duties.reclaim import Reclaim
from sagas.duties.setup_warnings import warn_of_routes, warn_of_transport
from sagas.duties.sweep import Sweep
from sagas.errors import SagaError, WrongApplication
from sagas.forking import ForkGuard
from sagas.payload import text_of
from sagas.runtime.app import Runtime

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

#: How often a worker that has stopped looks whether its last steps have ended.
LOOK_S = 0.2


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
        except BaseException as error:  # noqa: BLE001
            # A duty outlives every outage. No order to end the process reaches a thread as an
            # exception; a SystemExit here comes from a library or from the application's own code.
            if not self._failing:
                _log_failure(f"The saga {self.name} failed; it is repeated until it works", error)
            self._failing = True
        else:
            if self._failing:
                logger.info("The saga %s works again.", self.name)
            self._failing = False


class Timer:
    """Repeats duties, one after the other, in one thread; *native*: see ``start_native``."""

    def __init__(self, *duties: Duty, every_s: float, native: bool = False) -> None:
        self._duties = duties
        self._every_s = every_s
        self._native = native
        self._stopping = NativeEvent() if native else threading.Event()
        self._stopped = NativeEvent() if native else threading.Event()

    def start(self) -> None:
        """Start the thread."""
        name = self._duties[-1].name
        if self._native:
            start_native(self._run, name=name)
        else:
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop after the duty that is running, and wait for it a few seconds."""
        self._stopping.set()
        self._stopped.wait(5)

    def _run(self) -> None:
        # With jitter, so that the workers of a deployment do not all query at the same time.
        while not self._stopping.wait(self._every_s * random.uniform(0.7, 1.0)):
            for duty in self._duties:
                if not self._stopping.wait(0):
                    duty.run_once()
        self._stopped.set()


class Supervisor:
    """Runs the duties of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.in_flight = InFlight()
        self._heartbeat = Heartbeat(runtime, self.in_flight)
        self._expire_workers = ExpireWorkers(runtime, self._heartbeat)
        self._ended = False
        sweep = Sweep(runtime, self.in_flight, is_steady=self._heartbeat.is_steady)
        interval_s = runtime.settings.saga_sweep_interval_s
        self._vital = Timer(
            Duty("heartbeat", self._heartbeat.heartbeat_once),
            Duty("extension of attempts", ExtendAttempts(runtime, self.in_flight).extend_once),
            every_s=runtime.settings.heartbeat_s,
            native=True,  # no step may silence it
        )
        self._timers = [
            Timer(
                Duty("expiry of workers", self._expire_workers.expire_once),
                Duty("extension", Extend(runtime, self.in_flight).extend_once),
                Duty("reclaim", Reclaim(runtime, self.in_flight).reclaim_once),
                Duty("sweep", sweep.sweep_once),
                every_s=interval_s,
            ),
            Timer(  # in a thread of its own, and without a guard: no fork waits for a slow webhook
                Duty("alerts", Alerts(runtime).deliver_once, guards_itself=True),
                every_s=interval_s,
            ),
        ]

    def start(self) -> None:
        """Write the first heartbeat, then start the timers.

        Raises:
            WrongApplication: the record belongs to another application.
        """
        warn_of_transport(self._runtime)
        warn_of_routes(self._runtime)
        try:
            self._heartbeat.heartbeat_once()
        except WrongApplication:
            raise
        except Exception as error:  # noqa: BLE001 - sagas must not keep a worker from its tasks
            _log_failure(
                "The saga record cannot be used yet; the worker starts all the same", error
            )
        for timer in (self._vital, *self._timers):
            timer.start()

    def stop(self, *, lingering: bool = False) -> None:
        """Stop the timers and end this incarnation; a second call does nothing.

        *lingering*: steps may go on running in this process. As long as one does, the worker keeps
        its heartbeat, and so nobody takes the step over.
        """
        if self._ended:
            return
        self._ended = True
        for timer in self._timers:
            timer.stop()
        if lingering and self.in_flight.runs_any():
            logger.warning("Steps of sagas still run; the worker's heartbeat goes on with them.")
            threading.Thread(target=self._leave_later, name="leave", daemon=True).start()
        else:
            self._leave()

    def _leave_later(self) -> None:
        while self.in_flight.runs_any():
            time.sleep(LOOK_S)
        self._leave()

    def _leave(self) -> None:
        self._vital.stop()
        try:
            self._expire_workers.leave()
        except Exception as error:  # noqa: BLE001 - a worker ends even if the database is away
            _log_failure("The worker could not sign off; its lease will run out instead", error)


def _log_failure(what: str, error: BaseException) -> None:
    """Log what failed, with the reason in the first line.

    An error that says what to do needs no traceback.
    """
    reason = text_of(error).partition("\n")[0]
    logger.error("%s: %s", what, reason, exc_info=None if isinstance(error, SagaError) else error)
