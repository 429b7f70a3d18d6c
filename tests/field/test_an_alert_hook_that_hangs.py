"""A hook may wait forever, for example for the answer to a request without a timeout."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from sagas import Alert, forking
from sagas.duties import alerts as delivery
from sagas.duties import bounded_call
from sagas.duties.supervisor import Supervisor
from sagas.record import alerts as outbox
from sagas.record import tables as t
from sagas.runtime.app import Runtime
from sagas.sql import before_now
from tests.support.waiting import HANG_S, wait_until


class Hook:
    """Records the alert, then hangs until it is released."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.released = threading.Event()

    def __call__(self, alert: Alert) -> None:
        """Record the alert and hang."""
        self.alerts.append(alert)
        self.released.wait()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    made = Hook()
    monkeypatch.setattr(delivery, "_hooks", {"hangs": made})
    return made


def raise_alert(runtime: Runtime, key: str = "T-1") -> None:
    alert = Alert(
        event="saga.parked",
        saga_id=uuid4(),
        name="trip",
        key=key,
        epoch=1,
        reason="The flight may be booked.",
        steps=("flight",),
        failure=None,
        at=datetime.now(UTC),
    )
    runtime.database.write(lambda c: outbox.raise_unless_raised(c, alert))


def row(runtime: Runtime) -> Any:
    return runtime.database.read(lambda c: c.execute(select(t.alert)).one())


def make_due(runtime: Runtime) -> None:
    runtime.database.write(lambda c: c.execute(update(t.alert).values(due_at=before_now(1))))


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def fork() -> None:
    """Run the hooks that surround a fork; not every platform lets threads fork."""
    forking._before()  # noqa: SLF001
    forking._after()  # noqa: SLF001


def test_a_fork_does_not_wait_until_the_hook_returns(
    runtime: Runtime, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_call, "DEADLINE_S", 600.0)
    runtime.enter_worker("one@here")
    raise_alert(runtime)
    duties = Supervisor(runtime)
    duties.start()
    wait_until(lambda: hook.alerts, what="the hook is called")
    forking_thread = in_thread(fork)
    forking_thread.join(timeout=60)
    assert not forking_thread.is_alive()
    assert row(runtime).due_at is not None  # the call has not returned
    hook.released.set()
    wait_until(lambda: row(runtime).due_at is None, what="the alert is delivered")
    duties.stop()


def test_its_delivery_fails_after_a_time_and_is_repeated_once_the_call_has_returned(
    runtime: Runtime,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bounded_call, "GUARD_S", 0.05)
    monkeypatch.setattr(bounded_call, "DEADLINE_S", 0.1)
    raise_alert(runtime)
    duty = delivery.Alerts(runtime)
    assert duty.deliver_once() == 1
    assert list(row(runtime).delivered_to) == ["log"]
    assert "did not reach hook hangs (it has not returned within 0.1 s)" in caplog.text
    make_due(runtime)
    assert duty.deliver_once() == 1
    assert len(hook.alerts) == 1  # no second call while the first one runs
    assert (row(runtime).attempts, list(row(runtime).delivered_to)) == (2, ["log"])
    hook.released.set()
    monkeypatch.setattr(bounded_call, "DEADLINE_S", 60.0)

    def delivered() -> bool:
        make_due(runtime)
        duty.deliver_once()
        return row(runtime).due_at is None

    wait_until(delivered, timeout_s=HANG_S)
    assert len(hook.alerts) == 2
