"""Transports that answer 0 or an estimate when asked for the length of a queue."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from celery import Celery
from kombu.entity import Queue
from sqlalchemy import update

from sagas import Saga, step
from sagas.duties.in_flight import InFlight
from sagas.duties.supervisor import Supervisor
from sagas.duties.sweep import Sweep
from sagas.record import tables as t
from sagas.runtime import queues
from sagas.runtime.app import Runtime
from sagas.sql import before_now


@step(name="field.count", read_only=True)
def count(order: str) -> None:
    """Count it."""


counted = Saga("field.counted", input=str, steps=[count])


def check_again_and_again(runtime: Runtime) -> None:
    """Let the sweep check the only saga five times, each time long after its message was sent."""
    for _ in range(5):
        long_due = update(t.saga).values(due_at=before_now(60))
        runtime.database.write(lambda c, due=long_due: c.execute(due))  # type: ignore[misc]
        assert Sweep(runtime, InFlight()).sweep_once() == 1


def test_a_message_in_memory_is_not_considered_lost_because_this_process_does_not_see_it(
    field_runtime: Runtime,
) -> None:
    handle = counted.start("C-1", key="C-1")
    with field_runtime.app.connection_for_write() as connection:
        assert Queue("celery")(connection.default_channel).purge() == 1
    check_again_and_again(field_runtime)
    assert handle.describe().epoch == 1


def test_a_message_in_the_file_system_is_not_considered_lost_because_others_use_its_folder(
    field_runtime: Runtime, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("ours", "theirs", "control")]
    for folder in folders:
        folder.mkdir()
    ours, theirs, control = map(str, folders)
    field_runtime.app.conf.broker_url = "filesystem://"
    field_runtime.app.conf.broker_transport_options = {
        "data_folder_in": ours,
        "data_folder_out": theirs,
        "control_folder": control,
    }
    handle = counted.start("C-1", key="C-1")
    check_again_and_again(field_runtime)
    assert len(list(folders[1].iterdir())) == 1
    assert handle.describe().epoch == 1


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("redis://", True),
        ("rediss://", True),
        ("sentinel://", True),
        ("amqp://", True),
        ("pyamqp://", True),
        ("memory://", False),
        ("filesystem://", False),
        ("sqlalchemy+sqlite:///broker.db", False),
    ],
)
def test_only_redis_and_amqp_are_known_to_report_true_lengths(url: str, *, known: bool) -> None:
    assert queues.knows_lengths(Celery("any", broker=url, set_as_current=False)) is known


def test_a_worker_warns_about_a_transport_on_which_losses_go_unnoticed(
    field_runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    field_runtime.enter_worker("one@here")
    supervisor = Supervisor(field_runtime)
    with caplog.at_level(logging.WARNING, logger="sagas.duties.supervisor"):
        supervisor.start()
        supervisor.stop()
    assert "does not report how many messages wait" in caplog.text


def test_a_queue_that_may_not_be_inspected_is_not_considered_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Locked:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def queue_declare(self, *_: object, **__: Any) -> Any:
            raise connection.channel_errors[0]("RESOURCE_LOCKED", (50, 10), reply_code=405)

    app = Celery("locked", broker="amqp://", set_as_current=False)
    connection = app.connection_for_write()
    monkeypatch.setattr(connection, "ensure_connection", lambda **_: None)
    monkeypatch.setattr(connection, "channel", Locked)
    monkeypatch.setattr(app, "connection_for_write", lambda: connection)
    assert queues.lengths(app, [SimpleNamespace(name="q")]) == {"q": None}  # type: ignore[list-item]
