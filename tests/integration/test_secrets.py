"""Secrets: what is stored, what the steps receive, and what nobody else sees."""

import json
import logging
import traceback
from collections.abc import Iterator

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from sagas import Alert, KeyConflict, RecordNotReady, on_alert
from sagas.duties import alerts as delivery
from sagas.record import alerts as outbox
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.runtime.app import runtime_of
from sagas.secret import STARS
from sagas.sql import after_now
from sagas.states import SagaStatus
from tests.integration.codec import CANARY, Login, login_saga, open_, told, use
from tests.integration.exposure import holding, what_people_see
from tests.support.driver import Driver

pytestmark = pytest.mark.usefixtures("nothing_told")


@pytest.fixture
def on_redis(redis_url: str, database_url: str, driver: Driver) -> Driver:
    driver.app.conf.update(broker_url=redis_url, saga_database_url=database_url)
    return driver


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Return the alerts that a hook receives."""
    found: list[Alert] = []
    monkeypatch.setattr(delivery, "_hooks", {})
    on_alert(found.append)
    return found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


WAYS = ["", "breaks", "returns nonsense", "refused", "is large", "cannot be undone"]


@pytest.mark.parametrize("goes_wrong", WAYS, ids=lambda way: way or "completes")
def test_a_secret_is_in_the_record_and_in_the_steps_and_nowhere_else(
    goes_wrong: str,
    on_redis: Driver,
    database: Database,
    alerts: list[Alert],
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_redis.app.conf.update(saga_payload_limit_bytes=5_000)
    handle = login_saga.start(Login(goes_wrong=goes_wrong), key="L-1")
    on_redis.run_all()
    delivery.Alerts(runtime_of(on_redis.app)).deliver_once()

    ends = {"": SagaStatus.COMPLETED, "cannot be undone": SagaStatus.FAILED}
    assert handle.status is ends.get(goes_wrong, SagaStatus.COMPENSATED)
    # In plain text for the steps and for anyone who asks for an output by its step.
    assert (told["password"], told["key"]) == (f"{CANARY}-password", f"{CANARY}-key".encode())
    assert told["token"] == f"{CANARY}-token-1"
    assert handle.output_of(open_).token.get_secret_value() == told["token"]
    if goes_wrong:
        assert told["closed"] == told["token"]
    else:
        assert handle.output_of(use)[0].get_secret_value() == told["token"]

    # Nowhere else.
    assert holding(database, CANARY) == {"saga.input", "saga_step.output"}
    assert any(str(handle.id).encode() in raw for raw in on_redis.seen)  # in the bodies of messages
    assert not [raw for raw in on_redis.seen if CANARY.encode() in raw]
    assert not [entry for entry in log.records if CANARY in logging.Formatter().format(entry)]
    assert CANARY not in str(on_redis.results)
    assert CANARY not in what_people_see(handle, capsys)
    assert (len(alerts) == 1) == (goes_wrong == "cannot be undone")
    assert CANARY not in str([alert.to_json() for alert in alerts])
    if goes_wrong in ("breaks", "refused", "cannot be undone"):
        assert STARS in json.dumps(handle.describe().failure)


def test_without_the_guard_celery_logs_what_the_exception_quotes(
    driver: Driver, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control for the test above: it sees what a careless engine would show."""
    monkeypatch.setattr("sagas.worker.execution.safe_to_log", lambda error, _: error)
    login_saga.start(Login(goes_wrong="breaks"))
    driver.run_all()
    shown = "".join(map(logging.Formatter().format, log.records))
    assert f"no route for {CANARY}-token-1" in shown
    assert f"{CANARY}-password" in shown  # from the cause


@pytest.mark.usefixtures("app")
def test_the_error_about_an_invalid_input_does_not_quote_it(database: Database) -> None:
    database.write(lambda c: c.exec_driver_sql("ALTER TABLE saga DROP COLUMN checks"))
    with pytest.raises((DBAPIError, RecordNotReady)) as raised:
        login_saga.start(Login())
    shown = "".join(traceback.format_exception(raised.value))
    assert "INSERT INTO saga" in shown
    assert CANARY not in shown


@pytest.mark.usefixtures("app")
def test_a_conflict_does_not_quote_a_secret() -> None:
    login_saga.start(Login(), key="L-1")
    with pytest.raises(KeyConflict) as conflict:
        login_saga.start(Login(big=1), key="L-1")
    with pytest.raises(KeyConflict):
        login_saga.start_many([(Login(), "L-1"), (Login(big=2), "L-1")])
    assert CANARY not in str(conflict.value)
    assert login_saga.start(Login(), key="L-1").key == "L-1"


def test_the_outbox_of_alerts_contains_no_secret(database: Database, driver: Driver) -> None:
    login_saga.start(Login(goes_wrong="cannot be undone"), key="L-1")
    driver.run_all()
    database.write(lambda c: c.execute(update(t.alert).values(due_at=after_now(-1))))
    (pending,) = database.write(lambda c: outbox.reserve_alerts(c, limit=9, reservation_s=9))
    assert pending.alert.failure is not None
    assert pending.alert.failure["message"] == f"refused: {STARS}"
    assert database.read(queries.count_by_status) == {SagaStatus.FAILED: 1}
