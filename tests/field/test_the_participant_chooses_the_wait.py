"""The participant says when to come back: the step waits as long, and has not failed meanwhile."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from pydantic import BaseModel, SecretStr
from sqlalchemy import select, update

from sagas import Context, Retry, RetryAfter, Saga, SagaHandle, SagaStatus, StepFailed, step
from sagas.cli.render_saga import print_saga
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.events import Event
from sagas.record import tables as t
from sagas.runtime.app import runtime_of
from sagas.sql import now
from sagas.states import StepStatus
from sagas.testing import violations
from tests.support.in_process import application, run_all
from tests.support.pools import Pools

CANARY = "canary-5d1e"


class Letter(BaseModel):
    way: str = ""
    token: SecretStr = SecretStr(CANARY)


@step(name="waits.mail", retry=Retry(max_attempts=1, max_postponed=60))
def mail(letter: Letter, ctx: Context) -> None:
    if letter.way == "busy" and ctx.attempt <= 5:
        raise RetryAfter(1, "429, come back in 1 s")
    if letter.way == "busy for long" and ctx.attempt == 1:
        raise RetryAfter(timedelta(seconds=30))
    if letter.way == "always busy":
        raise RetryAfter(25, "429, come back in 25 s")
    if letter.way == "quotes a secret":
        raise RetryAfter(120, f"429 for {letter.token.get_secret_value()}")


@mail.compensation(retry=Retry(max_attempts=1, wait_initial=0))
def unmail(letter: Letter, ctx: Context) -> None:
    if letter.way == "busy undo" and ctx.attempt <= 3:
        raise RetryAfter(1)


@step(name="waits.file", read_only=True)
def file(letter: Letter) -> None:
    if letter.way == "busy undo":
        raise StepFailed("no room")


saga = Saga("waits.letter", input=Letter, steps=[mail, file])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with application(tmp_path) as made:
        yield made


def ran(app: Celery, way: str) -> SagaHandle:
    handle = saga.start(Letter(way=way), key="L-1")
    run_all(app)
    return handle


def wake(app: Celery, handle: SagaHandle) -> None:
    """Let the time of the wait pass, and sweep."""
    database = runtime_of(app).database
    over = update(t.step).where(t.step.c.saga_id == handle.id).values(retry_at=now())
    due = update(t.saga).where(t.saga.c.id == handle.id).values(due_at=now())
    database.write(lambda c: c.execute(over))
    database.write(lambda c: c.execute(due))
    Sweep(runtime_of(app), InFlight()).sweep_once()
    run_all(app)


def messages(log: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == name]


def test_a_step_of_one_attempt_outlasts_a_busy_participant(app: Celery) -> None:
    handle = ran(app, "busy")
    assert handle.status is SagaStatus.COMPLETED
    (view, _) = handle.steps()
    assert (view.attempt, view.postponements) == (6, 5)
    waits = [entry for entry in handle.history() if entry.event is Event.PENDING]
    assert [(entry.detail or {})["retry_in_s"] for entry in waits] == [1.0] * 5
    assert violations(app) == []


def test_each_wait_is_one_line_in_the_log_without_a_traceback(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    handle = ran(app, "busy")
    first, *others = messages(log, "sagas.attempts")
    assert len(others) == 4
    assert first.getMessage() == (
        f"Saga waits.letter L-1 ({handle.id}): attempt 1 of the action of waits.mail was postponed "
        "with RetryAfter: 429, come back in 1 s; it had no effect, next in 1.0 s."
    )
    assert first.levelno == logging.INFO
    assert first.exc_info is None
    celerys = [r.getMessage() for r in log.records if " retry: " in r.getMessage()]
    assert len(celerys) == 5
    assert "429, come back in 1 s; next in 1.0 s" in celerys[0]


def test_a_compensation_outlasts_a_busy_participant_too(app: Celery) -> None:
    handle = ran(app, "busy undo")
    assert handle.status is SagaStatus.COMPENSATED
    (view, _) = handle.steps()
    assert (view.compensation_attempt, view.compensation_postponements) == (4, 3)
    assert violations(app) == []


def test_a_long_wait_is_kept_in_the_record_and_holds_no_message(app: Celery) -> None:
    handle = ran(app, "busy for long")
    row = runtime_of(app).database.read(
        lambda c: c.execute(select(t.saga).where(t.saga.c.id == handle.id)).one()
    )
    assert (row.status, row.sent_at) == (SagaStatus.IN_PROGRESS, None)
    assert handle.steps()[0].status is StepStatus.PENDING
    wake(app, handle)
    assert handle.status is SagaStatus.COMPLETED
    assert violations(app) == []


def test_a_participant_that_asks_for_more_than_the_policy_allows_has_refused(
    app: Celery, log: pytest.LogCaptureFixture
) -> None:
    handle = ran(app, "always busy")
    for _ in range(2):
        wake(app, handle)
    view = handle.describe()
    assert view.status is SagaStatus.COMPENSATED
    assert view.failure is not None
    assert (view.failure["step"], view.failure["type"]) == ("waits.mail", "PostponedTooLong")
    assert "retry=Retry(max_postponed=…)" in view.failure["message"]
    assert handle.steps()[0].status is StepStatus.FAILED  # nothing happened: nothing is undone
    last = messages(log, "sagas.attempts")[-1]
    assert "Saga waits.letter L-1" in last.getMessage()
    assert "was postponed for the last time: PostponedTooLong" in last.getMessage()
    assert violations(app) == []


def test_a_wait_quotes_no_secret(app: Celery, log: pytest.LogCaptureFixture) -> None:
    handle = ran(app, "quotes a secret")
    assert handle.status is SagaStatus.COMPENSATED
    for record in log.records:
        assert CANARY not in logging.Formatter().format(record)
    assert CANARY not in str(handle.history())
    assert CANARY not in str(handle.steps())


def test_people_see_how_often_a_step_was_postponed_and_when_it_goes_on(
    app: Celery, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = ran(app, "busy for long")
    print_saga(handle.describe(), None, handle.steps(), handle.history())
    shown = capsys.readouterr().out
    assert "attempts: 1 (1 postponed)" in shown
    assert "tried again at" in shown
    assert "it asks to be called again in 30 s" in shown
    assert "Traceback" not in shown


def test_a_real_worker_waits_as_long_as_it_was_told_to(pools: Pools) -> None:
    pools.start("waits", busy={"takes_s": 4.0})
    with pools.worker("prefork"):
        pools.wait_until_ended("busy")
    assert pools.saga("busy").status is SagaStatus.COMPLETED
    began = [float(line) for line in pools.effects("busy")]
    assert len(began) == 2
    assert began[1] - began[0] >= 3.99  # the record's clock shows milliseconds
