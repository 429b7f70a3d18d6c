"""Real processes, mainly workers, that a test starts, kills and stops."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sagas.dev import start_guarded
from tests.support.waiting import HANG_S

__all__ = ["BORN", "FENCED", "Supervised", "Worker", "running_worker"]

#: What a nursery writes to the log whenever its worker starts.
BORN = "A worker is born."

#: What a worker writes to its log of an attempt that had been taken over.
FENCED = "the saga has gone on without it"

#: The workers need not know each other, and start and stop faster without these services.
_QUICK = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Supervised:
    """A process and its children as one group, restarted whenever it is killed.

    With *once*, it is not restarted after it has ended by itself with exit code 0.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        once: bool = False,
    ) -> None:
        self.log = log
        self._command = command
        self._env = {**os.environ, **env}
        self._cwd = cwd
        self._once = once
        self._stopping = False
        self.starts = 0
        self.process = self._start()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        return start_guarded(self._command, log=self.log, env=self._env, cwd=self._cwd)

    def _supervise(self) -> None:
        while True:
            code = self.process.wait()
            self._kill_group()  # an orphaned pool ends with its main process, as in a container
            if self._stopping or (self._once and code == 0):
                return
            self.process = self._start()

    @property
    def ended(self) -> bool:
        """Whether it has ended and is not restarted."""
        return not self._supervisor.is_alive()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and to its children."""
        os.killpg(self.process.pid, number)

    def restart(self, **env: str) -> None:
        """Ask it to end, and to come back with these variables in its environment."""
        self._env |= env
        with suppress(ProcessLookupError):
            self.process.terminate()

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        self._stopping = True
        with suppress(ProcessLookupError):
            self.process.terminate()

    def stop(self) -> None:
        """End it gracefully; raises AssertionError if it has to be killed."""
        self.terminate()
        self._supervisor.join(timeout=HANG_S)
        if self._supervisor.is_alive():
            self._kill_group()
            raise AssertionError(f"{self.log.stem} did not stop; its log:\n{self.tail()}")

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            self.signal_all(signal.SIGKILL)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text()[-4000:]


class Worker(Supervised):
    """A ``celery worker`` with its pool."""

    def __init__(
        self,
        app: str,
        *options: str,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        nursery: bool = False,
    ) -> None:
        program: tuple[str, ...] = ("celery", "-A", app, "worker", "-l", "INFO")
        if nursery:  # which keeps it alive by itself, and restarts it sooner
            program = ("tests.support.nursery", app)
        command = [sys.executable, "-m", *program, "-n", f"{log.stem}@%h", *_QUICK, *options]
        super().__init__(command, log=log, env=env, cwd=cwd)
        self._in_nursery = nursery

    @property
    def main(self) -> psutil.Process:
        """Its current main process; raises psutil.NoSuchProcess between two of them."""
        started = psutil.Process(self.process.pid)
        if not self._in_nursery:
            return started
        for worker in started.children():
            return worker
        raise psutil.NoSuchProcess(started.pid)

    @property
    def ready(self) -> bool:
        """Whether it has begun to receive messages since its last start."""
        return self.log.read_text().count(" ready.") >= self.births

    @property
    def births(self) -> int:
        """How often it has been started."""
        return self.log.read_text().count(BORN) if self._in_nursery else self.starts

    def kill(self) -> None:
        """SIGKILL it with its pool; raises psutil.NoSuchProcess between two of them."""
        os.killpg(self.main.pid, signal.SIGKILL)

    @property
    def children(self) -> list[psutil.Process]:
        """The processes of its pool."""
        return self.main.children()


@contextmanager
def running_worker(
    app: str,
    *options: str,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    nursery: bool = False,
) -> Iterator[Worker]:
    """Run a worker of the app while the block runs; messages wait for it until it is ready."""
    worker = Worker(app, *options, log=log, env=env, cwd=cwd, nursery=nursery)
    try:
        yield worker
    finally:
        worker.stop()
