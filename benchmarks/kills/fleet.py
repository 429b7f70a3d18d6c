"""Workers that are killed and started again at once, as any supervisor would do."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

__all__ = ["Fleet"]

# The shell becomes the worker; its background half reads a pipe that only the fleet can write to.
# When the fleet closes the pipe, or is gone for any reason, the worker's process group is killed.
_GUARDED = """
exec 3<&0 </dev/null
{ read -r line <&3; kill -KILL 0; } &
exec "$@" 3<&-
"""

_CELERY = (sys.executable, "-m", "celery", "-A", "benchmarks.kills.worker", "worker")
_OPTIONS = ("--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO")

#: A worker that was told to end and does not within this time is killed, as by systemd or Docker.
_GRACE_S = 10.0

#: The directory from which the workers import the same code as the driver.
_ROOT = Path(__file__).parent.parent.parent


class Fleet:
    """Workers that live as long as the block. Only they are ever killed, and none outlives it."""

    def __init__(self, *names: str, environment: Mapping[str, str], logs: Path) -> None:
        self.starts = 0
        self._names = names
        self._environment = {**os.environ, **environment, "KILLS_READY": str(logs)}
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # When each worker was told to end, which happens once.
        self._told: dict[str, float] = {}
        # A dead main process may have left other processes of its group behind.
        self._gone: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start the workers."""
        self.revive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill every process of every group."""
        everyone = [*self._gone, *self._running.values()]
        for worker in everyone:
            if worker.stdin:
                worker.stdin.close()
        for worker in everyone:
            worker.wait()

    def revive(self) -> None:
        """Start every worker that is not running; kill those that hang after being told to end."""
        for name in self._names:
            worker = self._running.get(name)
            if worker and worker.poll() is None:
                if time.monotonic() - self._told.get(name, time.monotonic()) > _GRACE_S:
                    os.killpg(worker.pid, signal.SIGKILL)
                continue
            if worker:
                self._gone.append(worker)
            self._told.pop(name, None)
            self._running[name] = self._start(name)

    @property
    def ready(self) -> Sequence[str]:
        """The workers that have booted and have not been told to end since."""
        return [
            name
            for name, worker in self._running.items()
            if name not in self._told
            and worker.poll() is None
            and (self._logs / f"{worker.pid}.ready").exists()
        ]

    @property
    def complete(self) -> bool:
        """Whether every worker is ready."""
        return len(self.ready) == len(self._names)

    def pick(self, node: str | None, chance: random.Random) -> str:
        """Return the worker with that node name, or another one if it is not ready."""
        name = (node or "").partition("@")[0]
        ready = self.ready
        return name if name in ready else chance.choice(ready or self._names)

    def kill(self, name: str) -> None:
        """SIGKILL the worker's main process and all its children at once."""
        worker = self._running[name]
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Tell the worker's main process alone to end."""
        self._told.setdefault(name, time.monotonic())
        self._running[name].send_signal(number)

    def kill_child(self, name: str, chance: random.Random) -> None:
        """SIGKILL one process of the worker's pool; the main process keeps running."""
        worker = self._running[name]
        try:
            main = psutil.Process(worker.pid)
            pool = [child for child in main.children() if child.exe() == main.exe()]
            if pool:
                chance.choice(pool).kill()
        except psutil.NoSuchProcess:
            return

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        self.starts += 1
        command = (*_CELERY, "--hostname", f"{name}@kills", *_OPTIONS)
        with (self._logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the script's own workers
                ["/bin/sh", "-c", _GUARDED, "sh", *command],
                cwd=_ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
