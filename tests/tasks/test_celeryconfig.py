"""The configuration fits the application."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

import celeryconfig
from tasks import app, order_saga


def test_every_step_and_compensation_has_a_queue_that_a_plain_worker_serves() -> None:
    calls = [call for step in order_saga.plan for call in (step.action, step.compensation) if call]
    assert {call.queue for call in calls} < celeryconfig.task_queues.keys()
    assert celeryconfig.task_default_queue in celeryconfig.task_queues


def test_every_step_and_compensation_is_a_task_with_the_name_that_the_plan_gives_it() -> None:
    app.loader.import_default_modules()
    names = {step.name for step in order_saga.plan}
    undone = {step.compensation.task for step in order_saga.plan if step.compensation}
    assert names | undone <= app.tasks.keys()
    assert undone == {
        "order.cancel",
        "inventory.release",
        "payment.refund",
        "points.restore",
        "shipping.cancel",
        "points.revoke",
    }


def test_only_json_is_accepted() -> None:
    assert app.conf.accept_content == ["json"]


def test_each_service_has_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKS_DATABASE_URL", raising=False)
    monkeypatch.setenv("TASKS_DATA_DIR", str(tmp_path / "new"))
    assert celeryconfig.database_url("payment") == f"sqlite:///{tmp_path}/new/payment.db"
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://shop@db/shop", "postgresql+psycopg:///a?host=/b"]
)
def test_each_service_has_its_own_schema(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKS_DATABASE_URL", url)
    own = make_url(celeryconfig.database_url("payment"))
    assert own.query["options"] == "-csearch_path=payment"
    assert own.difference_update_query(["options"]) == make_url(url)
