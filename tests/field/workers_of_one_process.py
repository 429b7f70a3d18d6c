"""Runs workers of one app in this process, as Celery's own test helpers do; prints the counts.

It is a separate program because Celery keeps the state of a worker in its modules.
"""

import json
import sys
import threading
from contextlib import ExitStack
from datetime import datetime
from uuid import UUID

from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import select

from sagas.record import tables as t
from sagas.runtime.app import runtime_of
from tests.field.pools_app import Job, app, ends
from tests.support.waiting import HANG_S, wait_until


def worker_rows() -> int:
    """Return the number of workers in the record."""
    return len(runtime_of(app).database.read(lambda c: c.execute(select(t.worker.c.id)).all()))


def heartbeats() -> dict[UUID, datetime]:
    """Return when each worker in the record wrote its last heartbeat."""
    query = select(t.worker.c.id, t.worker.c.heartbeat_at)
    rows = runtime_of(app).database.read(lambda c: c.execute(query).all())
    return {row.id: row.heartbeat_at for row in rows}


def all_go_on(before: dict[UUID, datetime]) -> bool:
    """Tell whether each of these workers has written another heartbeat."""
    latest = heartbeats()
    assert latest.keys() == before.keys(), "a worker has left the record"
    return all(latest[worker] > at for worker, at in before.items())


def holders() -> int:
    """Return the number of different workers that have held steps."""
    query = select(t.step.c.worker).distinct()
    return len(runtime_of(app).database.read(lambda c: c.execute(query).all()))


def run(app: Celery, pool: str, key: str, *, workers: int = 1) -> None:
    """Run workers until a saga has ended."""
    with ExitStack() as stack:
        for number in range(workers):
            name = f"{key}-{number}@here"
            worker = start_worker(
                app, pool=pool, perform_ping_check=False, hostname=name, shutdown_timeout=HANG_S
            )
            stack.enter_context(worker)
        assert worker_rows() == workers
        first = heartbeats()
        wait_until(lambda: all_go_on(first), timeout_s=HANG_S, what="each writes heartbeats")
        for number in range(3):
            ends.start(Job(key=f"{key}-{number}"), key=f"{key}-{number}").wait(60)
    wait_until(lambda: worker_rows() == 0, timeout_s=HANG_S, what="the workers leave the record")


def duties() -> list[str]:
    """Return the duty threads that are alive."""
    names = ("extension of attempts", "sweep", "alerts", "leave")
    return [thread.name for thread in threading.enumerate() if thread.name in names]


if __name__ == "__main__":
    together = sys.argv[1] == "together"
    for pool in ("solo", "threads"):
        run(app, pool, f"{pool}-first", workers=1 + together)
        run(app, pool, f"{pool}-second", workers=1 + together)
    wait_until(lambda: not duties(), timeout_s=HANG_S, what="no duty is left")
    print(json.dumps({"holders": holders()}))  # noqa: T201 - for the test
