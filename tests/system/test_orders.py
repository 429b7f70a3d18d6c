"""The order saga under fire: mixed outcomes, and one of four workers killed time and again."""

import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from celeryconfig import database_url
from sagas.record import queries
from sagas.record.database import Database
from sagas.states import ENDED, SagaStatus
from sagas.testing import check
from tasks.conservation import effects, order_ids, verify
from tasks.seed import DATABASES
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import running_worker

pytestmark = pytest.mark.slow

ORDERS = 1_000
KILL_EVERY = 100


def test_a_thousand_orders_end_right_while_workers_are_killed(
    redis_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"TASKS_BROKER_URL": redis_url, "TASKS_DATABASE_URL": postgres_url}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    # In a process of its own: celeryconfig.py reads the environment once.
    subprocess.run([sys.executable, "-m", "tasks.seed"], env={**os.environ, **env}, check=True)
    record = Database(database_url("order"))
    command = [sys.executable, "-m", "tests.system.place_orders", str(ORDERS)]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                running_worker("tasks", "-c", "2", log=tmp_path / f"{n}.log", env=env, nursery=True)
            )
            for n in range(4)
        ]
        shop = stack.enter_context(subprocess.Popen(command, env={**os.environ, **env}))
        for ended in range(KILL_EVERY, ORDERS, KILL_EVERY):
            wait_until(partial(have_ended, record, ended), what=f"{ended} have ended")
            # One at a time: a busy machine takes a while to bring the last one back.
            wait_until(lambda: all(worker.ready for worker in workers), what="all are at work")
            min(workers, key=lambda worker: worker.births).kill()
        wait_until(partial(have_ended, record, ORDERS), what="all have ended")
        assert shop.wait(HANG_S) == 0
        for worker in workers:
            worker.terminate()
    counts = record.read(queries.count_by_status)
    assert min(counts[SagaStatus.COMPLETED], counts[SagaStatus.COMPENSATED]) > ORDERS / 10
    assert counts.get(SagaStatus.FAILED, 0) == 0
    sagas = record.read(lambda c: queries.find_sagas(c, limit=ORDERS))
    assert not verify({saga.key: saga.status for saga in sagas}).violations
    check(record, effects(), keys={"order": order_ids()}, parked=())
    for database in DATABASES:
        database.dispose()
    record.dispose()


def have_ended(record: Database, number: int) -> bool:
    """Tell whether so many sagas have ended."""
    counts = record.read(queries.count_by_status)
    return sum(count for status, count in counts.items() if status in ENDED) >= number
