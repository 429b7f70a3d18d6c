"""``task_always_eager`` in the tests of an application; ``task_eager_propagates`` too."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import sagas
from sagas import (
    CompensationContext,
    ConfigurationError,
    Context,
    Retry,
    Saga,
    SagaStatus,
    Step,
    StepFailed,
    WaitTimeout,
    step,
)
from sagas.runtime.app import Runtime
from sagas.testing import check, empty_record, reset_runtime

Make = Callable[..., Runtime]


class Trip(BaseModel):
    """A trip; *fails* says how its flight does."""

    fails: str = ""
    nights: int = 1


ran: list[str] = []


@step(name="eager.hotel")
def hotel(trip: Trip) -> str:
    """Book the hotel."""
    ran.append("hotel" if trip.nights else "no hotel")
    return "room 12"


@hotel.compensation
def cancel_hotel(trip: Trip, ctx: CompensationContext[str]) -> None:
    """Cancel the hotel."""
    ran.append(f"cancel {ctx.output}")
    if trip.fails == "for good":
        raise StepFailed("no refund")


@step(name="eager.flight", retry=Retry(max_attempts=3, wait_initial=3600.0))
def flight(trip: Trip, ctx: Context) -> str:
    """Book the flight."""
    ran.append(f"flight {ctx.attempt}")
    if trip.fails in ("refused", "for good"):
        raise StepFailed("sold out", code="SOLD_OUT")
    if trip.fails == "always" or (trip.fails == "twice" and ctx.attempt < 3):
        raise TimeoutError("no answer")
    return "seat 3"


@flight.compensation
def cancel_flight(trip: Trip) -> None:
    """Cancel the flight."""
    assert trip.fails
    ran.append("cancel flight")


@step(name="eager.mail")
def mail(trip: Trip) -> None:
    """Send the tickets."""


trip_saga = Saga("eager.trip", input=Trip, steps=[hotel, flight, mail])


@step(name="eager.agency")
def agency(trip: Trip) -> str:
    """Start another saga, and wait for it."""
    return trip_saga.start(trip, key="from an agency").wait(60)


agency_saga = Saga("eager.agency", input=Trip, steps=[agency])

long_saga = Saga(
    "eager.long",
    input=Trip,
    steps=[Step(mail, name=f"mail {n}", best_effort=True) for n in range(150)],
)


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@pytest.fixture(params=[False, True], ids=["", "propagates"])
def eager(request: pytest.FixtureRequest, database_url: str, make_runtime: Make) -> Runtime:
    return make_runtime(database_url, task_always_eager=True, task_eager_propagates=request.param)


@pytest.mark.parametrize(
    ("fails", "status", "does"),
    [
        ("", SagaStatus.COMPLETED, ["hotel", "flight 1"]),
        ("refused", SagaStatus.COMPENSATED, ["hotel", "flight 1", "cancel room 12"]),
        ("twice", SagaStatus.COMPLETED, ["hotel", "flight 1", "flight 2", "flight 3"]),
        (
            "always",
            SagaStatus.COMPENSATED,
            ["hotel", "flight 1", "flight 2", "flight 3", "cancel flight", "cancel room 12"],
        ),
        ("for good", SagaStatus.FAILED, ["hotel", "flight 1", "cancel room 12"]),
    ],
)
def test_a_saga_ends_before_its_start_returns(
    eager: Runtime, fails: str, status: SagaStatus, does: list[str]
) -> None:
    handle = trip_saga.start(Trip(fails=fails), key="1")
    assert (handle.status, ran) == (status, does)
    assert handle.wait(0) is status
    check(eager.app)


@pytest.mark.usefixtures("eager")
def test_a_delay_is_left_out_as_a_countdown_is() -> None:
    assert trip_saga.start(Trip(), delay=3600).status is SagaStatus.COMPLETED


@pytest.mark.usefixtures("eager")
def test_a_person_can_act_on_a_parked_saga() -> None:
    handle = trip_saga.start(Trip(fails="for good"))
    handle.retry()
    assert ran.count("cancel room 12") == 2
    handle.skip("eager.hotel")
    assert handle.status is SagaStatus.COMPENSATED


@pytest.mark.usefixtures("eager")
def test_a_step_may_wait_for_a_saga_that_it_starts() -> None:
    handle = agency_saga.start(Trip(), key="1")
    assert handle.output_of(agency) == "COMPLETED"


@pytest.mark.usefixtures("eager")
def test_a_long_saga_needs_no_deep_stack() -> None:
    limit = sys.getrecursionlimit()
    depth = len(list(_frames()))
    sys.setrecursionlimit(depth + 400)
    try:
        assert long_saga.start(Trip()).status is SagaStatus.COMPLETED
    finally:
        sys.setrecursionlimit(limit)


def _frames() -> Any:
    frame: Any = sys._getframe()  # noqa: SLF001
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_a_saga_in_a_callers_transaction_runs_at_its_commit(
    eager: Runtime, database_url: str
) -> None:
    engine = create_engine(database_url)
    with Session(engine) as session:
        trip_saga.start(Trip(), key="1", session=session)
        assert ran == []
        session.commit()
        assert ran == ["hotel", "flight 1"]
        trip_saga.start(Trip(), key="2", session=session)
        session.rollback()
    engine.dispose()
    assert [saga.status for saga in sagas.find()] == [SagaStatus.COMPLETED]
    del eager


def test_a_task_that_the_process_does_not_have_is_named(
    eager: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager.app.finalize()
    monkeypatch.delitem(eager.app.tasks, "eager.hotel")
    with pytest.raises(ConfigurationError, match=r"'eager\.hotel'.*Import its module"):
        trip_saga.start(Trip(), key="1")


def test_a_wait_that_cannot_end_says_what_to_do(eager: Runtime) -> None:
    eager.app.conf.task_always_eager = False
    handle = trip_saga.start(Trip(), key="1")
    eager.app.conf.task_always_eager = True
    with pytest.raises(WaitTimeout, match="With task_always_eager no worker sweeps"):
        handle.wait(0)


# Between tests


def test_the_next_test_may_have_another_database(eager: Runtime, tmp_path: Path) -> None:
    trip_saga.start(Trip(), key="1")
    eager.app.conf.saga_database_url = f"sqlite:///{tmp_path / 'next.db'}"
    assert len(sagas.find()) == 1  # as it was read at first
    reset_runtime()
    sagas.upgrade_record()
    assert len(sagas.find()) == 0
    assert trip_saga.start(Trip(), key="1").status is SagaStatus.COMPLETED


def test_the_next_test_may_begin_with_an_empty_record(eager: Runtime) -> None:
    trip_saga.start(Trip(fails="for good"), key="1")
    empty_record()
    assert len(sagas.find()) == 0
    assert trip_saga.start(Trip(), key="1").status is SagaStatus.COMPLETED
    check(eager.app)
