"""``sagas doctor`` says what is wrong with a set-up, and raises nothing however broken it is."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from operator import methodcaller
from typing import Any

import pytest
import redis
from sqlalchemy import text

from sagas.cli.findings import Setup
from sagas.dev import embedded_broker
from sagas.ids import uuid7
from sagas.record import workers
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.record.workers import Heartbeat
from tests.support.command_line import APP as CLI_APP
from tests.support.command_line import Run, on_terminal
from tests.support.pools import APP, Pools
from tests.support.records import started
from tests.support.waiting import HANG_S, wait_until

SHOP_QUEUE = "celery"


def findings(run: Run) -> dict[str, dict[str, Any]]:
    """Return the worst finding of each check."""
    result = run("doctor", "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    order = ["skipped", "ok", "warning", "error"]
    found: dict[str, dict[str, Any]] = {}
    for finding in json.loads(result.stdout):
        known = found.get(finding["check"], {"level": "skipped"})
        if order.index(finding["level"]) >= order.index(known["level"]):
            found[finding["check"]] = finding
    assert result.exit_code == int(any(f["level"] == "error" for f in found.values()))
    return found


@pytest.fixture(autouse=True)
def _only_the_steps_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the steps that other tests of this process have defined: every app has them."""
    known = vars(Setup)["steps"].fget

    def of_the_shop(setup: Setup) -> dict[str, Any]:
        return {name: task for name, task in known(setup).items() if name.startswith("shop.")}

    monkeypatch.setattr(Setup, "steps", property(of_the_shop))


@pytest.fixture
def run_on_redis(run_saga: Run, redis_url: str) -> Run:
    """Return a function that runs a command of an app with a real broker and a long lease."""
    conf().update(broker_url=redis_url, saga_lease_s=3_600.0)
    return run_saga


def conf() -> Any:
    """Return the configuration of the app that the command line finds."""
    return importlib.import_module(CLI_APP).app.conf


def beat(database: Database, *queues: str) -> None:
    heartbeat = Heartbeat(uuid7(), "one@elsewhere", 7, {}, queues)
    database.write(lambda c: workers.write_heartbeat(c, heartbeat))


def test_a_set_up_without_a_worker_has_one_warning_and_its_remedy(run_on_redis: Run) -> None:
    found = findings(run_on_redis)
    assert {name for name, f in found.items() if f["level"] != "ok"} == {"queues"}
    assert found["queues"]["text"] == "No worker is alive."
    assert found["queues"]["remedy"] == "Run: celery -A <your app> worker"
    assert set(found) == {
        *("versions", "settings", "broker", "database", "isolation", "tables", "clock"),
        *("sagas", "routes", "queues", "pool", "others"),
    }


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@127.0.0.1:1/0", "amqp://me:hunter2@127.0.0.1:1//", "nonsense://x"]
)
def test_a_broker_that_does_not_answer(run_saga: Run, url: str) -> None:
    conf().broker_url = url
    found = findings(run_saga)
    assert found["broker"]["level"] == "error"
    assert found["others"]["level"] == "skipped"
    assert "hunter2" not in json.dumps(found)
    assert found["tables"]["level"] == "ok"


@pytest.mark.parametrize(
    ("url", "check", "said"),
    [
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "database", "does not answer"),
        ("mysql+pymysql://me:hunter2@127.0.0.1:1/x", "database", "does not answer"),
        ("sqlite:////proc/none/record.db", "database", "cannot be used"),
        ("nonsense", "database", "cannot be used"),
        ("postgresql+asyncpg://me:hunter2@127.0.0.1/x", "database", "asyncio"),
        (None, "settings", "saga_database_url is not set"),
    ],
)
def test_a_database_that_cannot_be_used(
    cli: Callable[[str | None], Run], url: str | None, check: str, said: str
) -> None:
    run = cli(url)
    conf().saga_lease_s = 0.1
    found = findings(run)
    assert found[check]["level"] == "error"
    assert said in found[check]["text"]
    assert {found[name]["level"] for name in ("isolation", "tables", "clock", "queues")} == {
        "skipped"
    }
    assert "hunter2" not in json.dumps(found)


def test_missing_tables(cli: Callable[[str], Run], blank_database_url: str) -> None:
    found = findings(cli(blank_database_url))
    assert found["tables"]["text"] == "The record's tables are missing in this database."
    assert found["tables"]["remedy"] == "Run: sagas -A <your app> db upgrade"
    assert found["queues"]["level"] == "skipped"


def test_tables_of_another_version(run_saga: Run, database: Database) -> None:
    other = text("UPDATE saga_alembic_version SET version_num = '0000'")
    database.write(lambda c: c.execute(other))
    found = findings(run_saga)
    assert "The record is at revision 0000; this version needs" in found["tables"]["text"]


@pytest.fixture
def reader(postgres_url: str) -> Iterator[str]:
    """Return the URL of a record whose user may read its tables and not write them."""
    role = f"reader_{uuid7().hex}"
    made = Database(postgres_url)
    grants = (f"CREATE ROLE {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    with_all(made, *grants)
    yield with_option(postgres_url, f"role%3D{role}")
    with_all(made, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    made.dispose()


def with_all(made: Database, *statements: str) -> None:
    for statement in statements:
        made.write(methodcaller("execute", text(statement)))


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options=-c%20{option}"


def test_tables_that_this_user_may_not_write(cli: Callable[[str], Run], reader: str) -> None:
    found = findings(cli(reader))
    assert "cannot be written: permission denied for table saga" in found["tables"]["text"]
    assert found["tables"]["remedy"].startswith("Grant SELECT, INSERT, UPDATE and DELETE")


def test_a_standby(cli: Callable[[str], Run], postgres_url: str) -> None:
    found = findings(cli(with_option(postgres_url, "default_transaction_read_only%3Don")))
    assert found["isolation"]["text"].startswith("The database is read-only")


def test_a_queue_that_no_living_worker_consumes(run_on_redis: Run, database: Database) -> None:
    beat(database, "another")
    found = findings(run_on_redis)
    assert found["queues"]["level"] == "error"
    assert f"No living worker consumes queue {SHOP_QUEUE}" in found["queues"]["text"]
    assert f"-Q {SHOP_QUEUE}" in found["queues"]["remedy"]


@pytest.mark.parametrize(
    "settings",
    [{"saga_queue": "turning"}, {"task_routes": {"sagas.turn_back": {"queue": "turning"}}}],
)
def test_a_queue_of_the_engine_that_no_living_worker_consumes(
    run_on_redis: Run, database: Database, settings: dict[str, Any]
) -> None:
    conf().update(settings)
    beat(database, SHOP_QUEUE)
    found = findings(run_on_redis)
    assert found["queues"]["text"] == (
        "No living worker consumes queue turning, which these need: the engine's own task."
    )


def test_a_worker_that_is_not_on_this_broker(run_on_redis: Run, database: Database) -> None:
    beat(database, SHOP_QUEUE)
    found = findings(run_on_redis)
    assert found["queues"]["level"] == "ok"
    assert "do not answer on this broker: one@elsewhere" in found["others"]["text"]


def test_another_application_on_this_record(run_on_redis: Run, store: Store) -> None:
    started(store)
    found = findings(run_on_redis)
    assert "that this application does not define: trip." in found["others"]["text"]


def test_a_route_that_leads_nowhere(run_on_redis: Run) -> None:
    conf().update(
        task_routes={"shop.charge": {"exchange": "no", "routing_key": "way"}},
    )
    found = findings(run_on_redis)
    assert found["routes"]["level"] == "error"
    assert "No saga can run step shop.charge" in found["routes"]["text"]
    assert found["queues"]["level"] == "skipped"


def test_a_clock_that_differs(run_saga: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 7_200)
    found = findings(run_saga)
    assert found["clock"]["level"] == "warning"
    assert "differ by 7" in found["clock"]["text"]


def test_a_module_of_the_application_that_cannot_be_imported(run_saga: Run) -> None:
    conf().include = ["no_such_module_of_mine"]
    found = findings(run_saga)
    assert "no_such_module_of_mine" in found["app"]["text"]


def test_a_broker_that_does_not_tell_lengths(run_saga: Run) -> None:
    found = findings(run_saga)  # in memory
    assert found["broker"]["level"] == "warning"
    assert "Use Redis or RabbitMQ" in found["broker"]["remedy"]


def test_a_memory_that_forgets(run_saga: Run) -> None:
    with embedded_broker() as url, closing(redis.Redis.from_url(url)) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        conf().broker_url = url
        found = findings(run_saga)
    assert found["broker"]["level"] == "warning"
    assert found["broker"]["remedy"] == "Set maxmemory-policy noeviction."


@pytest.mark.parametrize(("pool", "level"), [("threads", "warning"), ("prefork", "ok")])
def test_a_pool_that_cannot_interrupt_a_step(pools: Pools, pool: str, level: str) -> None:
    pools.env["POOLS_LEASE_S"] = "60"
    with pools.worker(pool) as worker:
        wait_until(lambda: worker.ready, timeout_s=HANG_S, what="the worker runs")
        wait_until(lambda: bool(pools.record.read(workers.known_workers)), timeout_s=HANG_S)
        shown = subprocess.run(
            [sys.executable, "-m", "celery", "-A", APP, "saga", "doctor", "--json"],
            env={**os.environ, **pools.env},
            check=False,
            capture_output=True,
            text=True,
        )
    found = {finding["check"]: finding for finding in json.loads(shown.stdout)}
    assert found["pool"]["level"] == level
    assert ("threads" if pool == "threads" else "prefork") in found["pool"]["text"].replace(
        "thread ", "threads "
    )
    others = [name for name, f in found.items() if f["level"] != "ok" and name != "pool"]
    assert others == []
    assert shown.returncode == 0


def test_a_check_that_fails_is_a_finding(run_saga: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> int:
        raise ZeroDivisionError("by a bug")

    monkeypatch.setattr("sagas.record.migrate.current_revision", fails)
    found = findings(run_saga)
    assert found["tables"]["text"] == "ZeroDivisionError: by a bug"


def test_it_is_readable_at_80_columns(run_saga: Run) -> None:
    shown = on_terminal(run_saga, 80, "doctor")
    assert max(map(len, shown.splitlines())) <= 80
    assert "Run: celery -A <your app> worker" in shown
