"""A worker that restarts at once: ``python -m tests.support.nursery APP-MODULE WORKER-OPTIONS …``.

Whenever the worker is killed, another one is forked from a process that has imported everything and
done nothing: most of a worker's start is imports. SIGTERM ends it, and is passed on to the worker.
"""

import importlib
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

# What a worker imports when it starts, once for all of them.
import celery.apps.worker
import celery.bin.celery
import celery.concurrency.prefork
import celery.worker.consumer
import kombu.transport.redis

from tests.support.workers import BORN

_PRELOADED = (celery.apps.worker, celery.concurrency.prefork, celery.worker.consumer, kombu)


class Nursery:
    """Keeps one worker alive."""

    def __init__(self, module: str, options: list[str]) -> None:
        self._app: Any = importlib.import_module(module).app
        self._options = options
        self._worker = 0
        self._stopping = False

    def run(self) -> None:
        """Fork workers one after the other until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        while not self._stopping:
            sys.stderr.write(f"{BORN}\n")
            alive, own = os.pipe()
            self._worker = os.fork()
            if self._worker == 0:
                os.close(own)
                self._be_worker(alive)
            os.close(alive)
            os.waitpid(self._worker, 0)
            os.close(own)
            with suppress(ProcessLookupError):
                os.killpg(self._worker, signal.SIGKILL)  # a pool ends with its main process

    def _stop(self, *_: object) -> None:
        self._stopping = True
        if self._worker:
            os.kill(self._worker, signal.SIGTERM)

    def _be_worker(self, alive: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)  # the group that a fault may kill
        threading.Thread(target=_die_with, args=(alive,), daemon=True).start()
        self._app.worker_main(["worker", "-l", "INFO", *self._options])
        os._exit(0)


def _die_with(alive: int) -> None:
    os.read(alive, 1)  # until the nursery is gone
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    Nursery(sys.argv[1], sys.argv[2:]).run()
