"""Supervised worker processes: one that dies is started again, as systemd would do."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sagas.dev import start_guarded

__all__ = ["Workers"]

PATIENCE_S = 5


class Workers:
    """Workers of the application that run as long as the block does, each with a log file."""

    def __init__(self, *names: str, logs: Path) -> None:
        self._names = names
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start the workers, or none if that is interrupted."""
        try:
            self.revive()
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the workers finish their tasks, then end every process."""
        self._end_all()

    def _end_all(self) -> None:
        for worker in self._running.values():
            worker.terminate()
        for worker in self._running.values():
            _end(worker)

    def revive(self) -> None:
        """Start every worker that is not running."""
        for name in self._names:
            worker = self._running.get(name)
            if worker and worker.poll() is None:
                continue
            if worker:
                _end(worker)
            self._running[name] = self._start(name)

    def kill(self, name: str) -> None:
        """Kill a worker and all its children at once, as a crash of its machine would."""
        os.killpg(self._running[name].pid, signal.SIGKILL)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        worker = ("celery", "-A", "tasks", "worker", "-c", "2", "-n", f"{name}@demo", "-l", "INFO")
        return start_guarded(
            [sys.executable, "-m", *worker],
            log=self._logs / f"{name}.log",
            cwd=Path(__file__).parent.parent,
            # A killed worker cannot remove its temporary files: they are removed with the logs.
            env=os.environ | {"TMPDIR": str(self._logs)},
        )


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Wait briefly for the worker, then let its guard kill what is left of its process group."""
    with suppress(subprocess.TimeoutExpired):
        worker.wait(PATIENCE_S)
    if worker.stdin:
        worker.stdin.close()
    worker.wait()
