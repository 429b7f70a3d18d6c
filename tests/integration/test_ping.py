"""The liveness probe for a supervisor."""

import re
import socket
from types import SimpleNamespace
from uuid import UUID

import pytest
from celery import Celery
from click.testing import Result
from sqlalchemy import update

from sagas.cli import saga
from sagas.ids import uuid7
from sagas.record import tables as t
from sagas.record import workers
from sagas.record.database import Database
from sagas.record.workers import Heartbeat
from sagas.sql import before_now
from tests.support.click_runner import call

HERE = f"celery@{socket.gethostname()}"

#: An hour: no test runs so long that a worker dies meanwhile.
LEASE_S = 3600


@pytest.fixture(autouse=True)
def _long_lease(app: Celery) -> None:
    app.conf.saga_lease_s = LEASE_S


def beat(database: Database, hostname: str, *, ago_s: float = 0) -> UUID:
    worker_id = uuid7()
    database.write(lambda c: workers.write_heartbeat(c, Heartbeat(worker_id, hostname, 7, {})))
    late = update(t.worker).where(t.worker.c.id == worker_id)
    database.write(lambda c: c.execute(late.values(heartbeat_at=before_now(ago_s))))
    return worker_id


def ping(app: Celery, *options: str) -> Result:
    return call(saga, "ping", *options, obj=SimpleNamespace(app=app))


def test_a_worker_of_this_host_that_sends_heartbeats_is_alive(
    app: Celery, database: Database
) -> None:
    beat(database, HERE)
    shown = ping(app)
    assert shown.exit_code == 0, shown.output
    assert re.match(rf"{re.escape(HERE)}: \d+\.\d s ago\. ", shown.stdout)
    assert shown.stdout.endswith("The database and the broker answer.\n")


def test_a_worker_that_is_silent_for_longer_than_its_lease_is_not_alive(
    app: Celery, database: Database
) -> None:
    beat(database, HERE, ago_s=2 * LEASE_S)
    shown = ping(app)
    assert shown.exit_code == 1
    assert re.search(rf"{re.escape(HERE)}: 7\d\d\d\.\d s ago", shown.stderr)
    assert f"the lease is {LEASE_S} s" in shown.stderr


def test_of_two_incarnations_the_one_with_the_latest_heartbeat_counts(
    app: Celery, database: Database
) -> None:
    beat(database, HERE)
    beat(database, HERE, ago_s=2 * LEASE_S)
    assert ping(app).exit_code == 0


def test_a_worker_of_another_host_counts_only_when_any_host_will_do(
    app: Celery, database: Database
) -> None:
    beat(database, "celery@elsewhere")
    assert ping(app).exit_code == 1
    assert "none is known" in ping(app).stderr
    assert ping(app, "--any").exit_code == 0


def test_a_worker_may_be_named(app: Celery, database: Database) -> None:
    beat(database, "one@demo")
    beat(database, HERE)
    assert ping(app, "--worker", "one@demo").exit_code == 0
    silent = ping(app, "--worker", "two@demo")
    assert silent.exit_code == 1
    assert "No worker of two@demo is alive" in silent.stderr


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_a_broker_that_does_not_answer_is_not_blamed_on_the_worker(
    url: str, app: Celery, database: Database
) -> None:
    beat(database, HERE)
    app.conf.broker_url = url
    shown = ping(app)
    assert shown.exit_code == 3
    assert "The broker does not answer" in shown.stderr


def test_a_database_that_does_not_answer_is_not_blamed_on_the_worker(app: Celery) -> None:
    app.conf.update(
        saga_database_url="postgresql+psycopg://me:hunter2@127.0.0.1:1/x", saga_lease_s=0.1
    )
    shown = ping(app)
    assert shown.exit_code == 3
    assert "The record's database does not answer" in shown.stderr
    assert "hunter2" not in shown.stderr
