"""A parked saga raises one alert, which reaches every receiver."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from sagas import Alert, on_alert
from sagas.duties import alerts as delivery
from sagas.record import alerts
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.runtime.app import Runtime
from sagas.sql import before_now
from tests.support.records import parked, started, turned_back
from tests.support.waiting import HANG_S


class Receiver(http.server.ThreadingHTTPServer):
    """The receiving end of a webhook, with the answer that a test chooses."""

    def __init__(self) -> None:
        self.answer = 200
        self.received: list[tuple[dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts?token=s3cret"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), json.loads(body)))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def duty(
    runtime: Runtime, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> delivery.Alerts:
    # A busy machine needs time to start the program that posts, and no test may last a full wait.
    monkeypatch.setattr(delivery, "TIMEOUT_S", HANG_S)
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", delivery.LONGEST_WAIT_S)
    runtime.app.conf.update(saga_database_url=database.url, saga_alert_urls=[receiver.url])
    return delivery.Alerts(runtime)


def let_it_be_due(database: Database) -> None:
    again = update(t.alert).where(t.alert.c.due_at.is_not(None)).values(due_at=before_now(1))
    database.write(lambda c: c.execute(again))


def row_of(database: Database, saga_id: UUID) -> Any:
    query = select(t.alert).where(t.alert.c.saga_id == saga_id)
    return database.read(lambda c: c.execute(query).one())


def test_a_parked_saga_sends_one_alert_to_the_log_and_to_webhooks(
    duty: delivery.Alerts,
    store: Store,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    saga_id = parked(store)
    started(store, "runs")
    turned_back(store, "compensated")
    assert [duty.deliver_once(), duty.deliver_once()] == [1, 0]
    (record,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert record.name == "sagas.alerts"
    assert f"Saga trip T-1 ({saga_id}) is parked: What these steps did" in record.message
    ((headers, body),) = receiver.received
    assert body["event"] == "saga.parked"
    assert (body["saga_id"], body["key"], body["steps"]) == (str(saga_id), "T-1", ["flight"])
    assert body["failure"]["type"] == "OSError"
    assert headers["Idempotency-Key"] == f"{saga_id}:{body['epoch']}:saga.parked"


def test_a_hook_receives_the_alert(
    duty: delivery.Alerts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_hooks", {})
    seen: list[Alert] = []

    @on_alert
    def note(alert: Alert) -> None:
        seen.append(alert)

    saga_id = parked(store)
    duty.deliver_once()
    (alert,) = seen
    assert (alert.saga_id, alert.name, alert.key) == (saga_id, "trip", "T-1")
    assert (alert.steps, alert.at.tzinfo) == (("flight",), UTC)


def test_slow_receivers_get_no_alert_twice(
    duty: delivery.Alerts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not tried within half of the reservation is left for the next one to reserve it."""
    monkeypatch.setattr(delivery, "_hooks", {})
    seen: list[Alert] = []
    clock = SimpleNamespace(monotonic=lambda: 100.0 * len(seen))  # each delivery takes this long
    monkeypatch.setattr(delivery, "time", clock)
    on_alert(seen.append)
    for number in range(4):
        parked(store, f"T-{number}")
    assert duty.deliver_once() == 1
    assert duty.deliver_once() == 0
    assert len(seen) == 1


def test_a_failing_receiver_gets_the_alert_later_and_the_others_get_it_once(
    duty: delivery.Alerts,
    store: Store,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    saga_id = parked(store)
    receiver.answer = 503
    duty.deliver_once()
    assert "it answered 503" in caplog.text
    assert "s3cret" not in caplog.text
    row = row_of(store.database, saga_id)
    assert row.attempts == 1
    assert list(row.delivered_to) == ["log"]
    assert "s3cret" not in json.dumps(row.delivered_to)
    receiver.answer = 204
    assert duty.deliver_once() == 0  # not at once
    let_it_be_due(store.database)
    assert duty.deliver_once() == 1
    assert len(receiver.received) == 2
    assert len([entry for entry in caplog.records if entry.levelno == logging.ERROR]) == 1
    assert row_of(store.database, saga_id).due_at is None


def test_a_receiver_that_got_the_alert_does_not_get_it_again_while_another_keeps_failing(
    duty: delivery.Alerts, store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    saga_id = parked(store)
    receiver.answer = 503
    for tries in (1, 2, 3):
        assert duty.deliver_once() == 1
        assert len(receiver.received) == tries
        let_it_be_due(store.database)
    assert list(row_of(store.database, saga_id).delivered_to) == ["log"]
    assert len([entry for entry in caplog.records if entry.levelno == logging.ERROR]) == 1


def test_an_alert_that_one_worker_is_delivering_is_not_delivered_by_another(store: Store) -> None:
    parked(store)
    taken = [
        store.database.write(lambda c: alerts.reserve_alerts(c, limit=9, reservation_s=60))
        for _ in range(2)
    ]
    assert [len(batch) for batch in taken] == [1, 0]


def test_an_unreachable_receiver_is_tried_once_per_round(
    duty: delivery.Alerts, store: Store, receiver: Receiver
) -> None:
    receiver.answer = 500
    for number in range(3):
        parked(store, f"T-{number}")
    assert duty.deliver_once() == 3
    assert len(receiver.received) == 1
