"""One item that a duty cannot handle stops neither the duty nor its other work."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, text, update

from sagas import Alert
from sagas.duties import alerts as delivery
from sagas.duties.failed_sweep import postponed_on_error
from sagas.duties.supervisor import Duty, Timer
from sagas.record import tables as t
from sagas.runtime.app import Runtime
from sagas.sql import before_now, now
from tests.field.pools_app import Mute
from tests.support.waiting import HANG_S, wait_until

GOOD: dict[str, Any] = Alert(
    event="saga.parked",
    saga_id=UUID(int=1),
    name="trip",
    key="T-1",
    epoch=1,
    reason="The flight may be booked.",
    steps=("flight",),
    failure=None,
    at=datetime.now(UTC),
).to_json()

UNREADABLE = {
    "a field is missing": json.dumps({"event": "saga.parked"}),
    "a field has another form": json.dumps({**GOOD, "at": {"seconds": 7}}),
    "it is another document": json.dumps(["saga.parked"]),
    "it is no JSON": "saga.parked",
}


def add_alert(runtime: Runtime, body: str) -> UUID:
    saga_id = uuid4()
    row = {"saga_id": saga_id, "epoch": 1, "kind": "parked", "delivered_to": {}, "attempts": 0}

    def work(connection: Any) -> None:
        connection.execute(insert(t.alert).values(**row, body={}, due_at=before_now(1)))
        written = text("UPDATE saga_alert SET body = :body WHERE body = '{}'")
        connection.execute(written, {"body": body})

    runtime.database.write(work)
    return saga_id


def state_of(runtime: Runtime, saga_id: UUID) -> Any:
    columns = (t.alert.c.attempts, t.alert.c.due_at, now().label("now"))
    query = select(*columns).where(t.alert.c.saga_id == saga_id)
    return runtime.database.read(lambda c: c.execute(query).one())


def make_due(runtime: Runtime, saga_id: UUID) -> None:
    again = update(t.alert).where(t.alert.c.saga_id == saga_id).values(due_at=before_now(1))
    runtime.database.write(lambda c: c.execute(again))


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_alert_is_postponed_and_counted_and_the_others_are_delivered(
    body: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Alert] = []
    monkeypatch.setattr(delivery, "_hooks", {"told": told.append})
    bad, good = add_alert(runtime, body), add_alert(runtime, json.dumps(GOOD))
    duty = delivery.Alerts(runtime)
    for tries in (1, 2):
        duty.deliver_once()
        assert len(told) == 1
        assert state_of(runtime, good).due_at is None
        aside = state_of(runtime, bad)
        assert aside.attempts == tries
        assert aside.due_at > aside.now
        make_due(runtime, bad)
    assert f"of saga {bad} cannot be read by this version" in caplog.text


def test_an_alert_with_a_field_of_a_later_version_is_delivered_without_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Alert] = []
    monkeypatch.setattr(delivery, "_hooks", {"told": told.append})
    add_alert(runtime, json.dumps({**GOOD, "severity": 3}))
    delivery.Alerts(runtime).deliver_once()
    assert [alert.key for alert in told] == ["T-1"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (Mute(), "its text cannot be read: __str__ raised LookupError"),
    ],
    ids=["exits", "mute"],
)
def test_a_hook_that_ends_in_any_way_counts_as_failed_and_the_others_get_the_alert(
    error: BaseException,
    text: str,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Alert) -> None:
        raise error

    told: list[Alert] = []
    hooks = {"fails": fail, "told": told.append}
    monkeypatch.setattr(delivery, "_hooks", hooks)
    saga_id = add_alert(runtime, json.dumps(GOOD))
    delivery.Alerts(runtime).deliver_once()
    assert len(told) == 1
    assert state_of(runtime, saga_id).attempts == 1
    assert "did not reach hook fails" in caplog.text
    assert text in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_duty_that_ends_with_a_base_exception_is_repeated(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def once() -> None:
        calls.append(1)
        raise error

    timer = Timer(Duty("sweep", once), every_s=0.01)
    timer.start()
    wait_until(lambda: len(calls) >= 3, timeout_s=HANG_S)
    timer.stop()
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


def test_a_saga_whose_sweep_exits_does_not_keep_the_next_one_from_being_swept(
    runtime: Runtime,
) -> None:
    with postponed_on_error(runtime, uuid4()):
        sys.exit(3)
