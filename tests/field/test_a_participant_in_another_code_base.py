"""One participant lives in another code base: the plan knows it by a stub of the same task name."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from sagas.record import queries
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.states import ENDED, SagaStatus
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import running_worker

START = """
from decimal import Decimal
from tests.field.stub_shop import Order, order_saga
order_saga.start(Order(id="1", total=Decimal("9.90")), key="ORD-1")
order_saga.start(Order(id="2", total=Decimal("5.00"), full=True), key="ORD-2")
"""


def test_each_code_base_runs_its_own_steps(redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'record.db'}"
    record = Database(url)
    upgrade(record)
    env = {
        "STUB_BROKER_URL": redis_url,
        "STUB_DATABASE_URL": url,
        "STUB_LEDGER": str(tmp_path / "ledger"),
    }
    _run(START, env)
    with ExitStack() as workers:
        for app, queue in (
            ("tests.field.stub_shop", "celery"),
            ("tests.field.payment_service", "payment"),
        ):
            log = tmp_path / f"{queue}.log"
            workers.enter_context(
                running_worker(app, "-c", "1", "-Q", queue, "-n", f"{queue}@%h", log=log, env=env)
            )
        for key in ("ORD-1", "ORD-2"):
            wait_until(lambda k=key: _status(record, k) in ENDED, what=f"{key} ends")  # type: ignore[misc]
    assert _status(record, "ORD-1") is SagaStatus.COMPLETED
    assert _status(record, "ORD-2") is SagaStatus.COMPENSATED
    ledger = (tmp_path / "ledger").read_text().splitlines()
    assert sorted(ledger) == [
        "charged 5.00 for ORD-2",
        "charged 9.90 for ORD-1",
        "refunded 5.00 of R-2 for ORD-2",
    ]
    record.dispose()


def _run(code: str, env: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, check=True, timeout=HANG_S
    )


def _status(record: Database, key: str) -> SagaStatus:
    (found,) = record.read(lambda c: queries.find_sagas(c, key=key))
    return found.status
