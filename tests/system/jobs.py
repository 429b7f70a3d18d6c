"""An application that acts on trips: ``python -m tests.system.jobs JOBS-AS-JSON``.

Each job is a list of a word and its arguments, and runs in its own process, which may be killed by
a fault. The exit codes are printed as JSON, in the convention of ``Popen.returncode``.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from sagas.client.saga import saga_named
from sagas.runtime.app import runtime_of
from tests.system import trip

__all__: list[str] = []

Trips = Mapping[str, Mapping[str, Any]]


def start(saga: str, trips: Trips, delay_s: float = 0.0) -> None:
    """Start trips one by one."""
    for given, key in _inputs(trips):
        saga_named(saga).start(given, key=key, delay=timedelta(seconds=delay_s))


def start_many(saga: str, trips: Trips) -> None:
    """Start trips in one transaction."""
    saga_named(saga).start_many(_inputs(trips))


def start_in_transaction(saga: str, trips: Trips) -> None:
    """Start trips in one of the application's own transactions."""
    with _engine().begin() as connection:
        saga_named(saga).start_many(_inputs(trips), session=connection)


def commit_and_die(saga: str, trips: Trips) -> None:
    """Commit a transaction that started trips, and die before the engine is notified."""
    with _engine().connect() as connection:
        saga_named(saga).start_many(_inputs(trips), session=connection)
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)


def _engine() -> Engine:
    # A busy SQLite refuses a transaction that reads first and then writes: it cannot wait.
    return runtime_of().database.engine.execution_options(saga_begin="IMMEDIATE")


def cancel(saga: str, key: str) -> None:
    """Cancel a trip."""
    saga_named(saga).get(key=key).cancel(reason="a change of plan")


def retry(saga: str, key: str) -> None:
    """Retry a parked trip."""
    saga_named(saga).get(key=key).retry(note="the office is open")


def skip(saga: str, key: str, step: str) -> None:
    """Continue a parked trip without one of its steps."""
    saga_named(saga).get(key=key).skip(step, note="done by telephone")


def _inputs(trips: Trips) -> list[tuple[trip.Trip, str | None]]:
    return [(trip.Trip.model_validate(given), key) for key, given in trips.items()]


JOBS: dict[str, Callable[..., None]] = {
    job.__name__: job
    for job in (start, start_many, start_in_transaction, commit_and_die, cancel, retry, skip)
}


def _run(word: str, *arguments: Any) -> int:
    child = os.fork()
    if child == 0:
        JOBS[word](*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.stdout.write(json.dumps([_run(*job) for job in json.loads(sys.argv[1])]))
