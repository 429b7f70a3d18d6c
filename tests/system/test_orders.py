"""The order saga under fire: mixed outcomes, and one of four workers killed every five seconds."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from celeryconfig import database_url
from sagas.record import queries
from sagas.record.database import Database
from sagas.states import ENDED, SagaStatus
from sagas.testing import check
from tasks.conservation import effects, order_ids, verify
from tasks.seed import DATABASES, prepare
from tests.support.workers import running_worker

ORDERS = 1_000
KILL_EVERY_S = 5.0
PATIENCE_S = 400


def test_a_thousand_orders_end_right_while_workers_are_killed(
    redis_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"TASKS_BROKER_URL": redis_url, "TASKS_DATABASE_URL": postgres_url}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    prepare()
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
        deadline = time.monotonic() + PATIENCE_S
        kill_at = time.monotonic() + KILL_EVERY_S
        while True:
            counts = record.read(queries.count_by_status)
            if shop.poll() is not None and sum(counts.values()) == ORDERS and set(counts) <= ENDED:
                break
            assert time.monotonic() < deadline, f"after {PATIENCE_S} s: {counts}"
            # One at a time: on a busy machine a worker takes longer than this to come back.
            if time.monotonic() >= kill_at and all(worker.ready for worker in workers):
                min(workers, key=lambda worker: worker.births).kill()
                kill_at = time.monotonic() + KILL_EVERY_S
            time.sleep(0.1)
        kills = sum(worker.births - 1 for worker in workers)
        for worker in workers:
            worker.terminate()
    assert shop.returncode == 0
    assert kills > 5
    assert min(counts[SagaStatus.COMPLETED], counts[SagaStatus.COMPENSATED]) > ORDERS / 10
    assert counts.get(SagaStatus.FAILED, 0) == 0
    sagas = record.read(lambda c: queries.find_sagas(c, limit=ORDERS))
    assert not verify({saga.key: saga.status for saga in sagas}).violations
    check(record, effects(), keys={"order": order_ids()}, parked=())
    for database in DATABASES:
        database.dispose()
    record.dispose()
