"""Real workers in processes of their own, started, killed and stopped by a test."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sagas.dev import start_guarded

__all__ = ["Worker", "running_worker"]

#: The workers need not know each other; without that they start and stop sooner.
_QUICK = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Worker:
    """A ``celery worker`` with its pool, supervised: whoever kills it, it is started again."""

    def __init__(
        self, app: str, *options: str, log: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        name = ("-n", f"{log.stem}@%h")
        self.log = log
        self._command = [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "INFO"]
        self._command += [*name, *_QUICK, *options]
        self._env = {**os.environ, **env}
        self._cwd = cwd
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
            self.process.wait()
            self._kill_group()  # an orphaned pool goes with its main process, as in a container
            if self._stopping:
                return
            self.process = self._start()

    @property
    def ready(self) -> bool:
        """Whether it receives messages, since it was started last."""
        return self.log.read_text().count(" ready.") >= self.starts

    @property
    def children(self) -> list[psutil.Process]:
        """The processes of its pool."""
        return psutil.Process(self.process.pid).children()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the main process and to its pool."""
        os.killpg(self.process.pid, number)

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self._stopping = True
        with suppress(ProcessLookupError):
            self.process.terminate()

    def stop(self) -> None:
        """End it gently; raises AssertionError where it has to be killed."""
        self.terminate()
        self._supervisor.join(timeout=20)
        if self._supervisor.is_alive():
            self._kill_group()
            raise AssertionError(f"The worker did not stop; its log:\n{self.tail()}")

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            self.signal_all(signal.SIGKILL)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text()[-4000:]


@contextmanager
def running_worker(
    app: str, *options: str, log: Path, env: Mapping[str, str], cwd: Path | None = None
) -> Iterator[Worker]:
    """Run a worker of the app while the block runs; messages wait for it until it is ready."""
    worker = Worker(app, *options, log=log, env=env, cwd=cwd)
    try:
        yield worker
    finally:
        worker.stop()
