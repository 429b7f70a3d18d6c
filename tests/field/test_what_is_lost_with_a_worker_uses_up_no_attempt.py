"""Deployments and crashes cut off long steps: the step has not failed, its worker has ended."""

import signal
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select

from sagas.cli.render_saga import print_saga
from sagas.record import tables as t
from sagas.record.queries import SagaView, StepView
from sagas.states import ENDED, SagaStatus
from tests.support.pools import Pools, needs
from tests.support.waiting import wait_until


def losses(pools: Pools, key: str) -> tuple[int, int]:
    """Return how many attempts of the saga's only step there were, and how many were lost."""
    query = select(t.step.c.attempt, t.step.c.losses).where(t.step.c.saga_id == pools.saga(key).id)
    row = pools.record.read(lambda c: c.execute(query).one())
    return row.attempt, row.losses


def wait_until_run(pools: Pools, key: str, times: int) -> None:
    """Wait until the step has begun *times* times and has not been undone."""
    effects = ["began"] * times
    wait_until(lambda: pools.effects(key) == effects or pools.saga(key).status in ENDED)
    assert pools.effects(key) == effects


@pytest.mark.parametrize(
    ("pool", "end"),
    [
        ("prefork", signal.SIGKILL),
        ("prefork", signal.SIGQUIT),
        ("solo", signal.SIGQUIT),
        needs("gevent", signal.SIGQUIT),
        needs("eventlet", signal.SIGQUIT),
    ],
)
def test_a_step_of_two_attempts_survives_three_ends_of_its_worker(
    pool: str, end: signal.Signals, pools: Pools
) -> None:
    pools.start("ends", long={"how": "hangs until it may go"})
    with pools.worker(pool, "-c", "1") as worker:  # which is restarted each time
        for runs in range(1, 4):
            wait_until_run(pools, "long", runs)
            worker.main.send_signal(end)
        wait_until_run(pools, "long", 4)
        (pools.directory / "go").touch()
        pools.wait_until_ended("long")
    assert pools.saga("long").status is SagaStatus.COMPLETED
    assert losses(pools, "long") == (4, 3)


def test_a_step_that_kills_its_process_each_time_ends_too(pools: Pools) -> None:
    pools.start("ends", poison={"how": "kills its process"})
    with pools.worker("prefork"):
        pools.wait_until_ended("poison")
    assert pools.saga("poison").status is SagaStatus.COMPENSATED
    assert pools.error_type("poison") == "WorkerLost"
    assert losses(pools, "poison") == (5, 5)
    assert pools.effects("poison") == ["began"] * 5 + ["undone"]


def test_people_see_how_many_attempts_were_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    saga = SagaView(
        id=UUID(int=1),
        name="trip",
        key="T-1",
        status=SagaStatus.COMPENSATING,
        epoch=9,
        failure=None,
        parked=None,
        blocked=None,
        resolved=None,
        deadline_at=None,
        started_at=now,
        ended_at=None,
    )
    step = StepView("flight", attempt=4, losses=3, compensation_attempt=2, compensation_losses=1)
    print_saga(saga, None, [step], [])
    shown = capsys.readouterr().out
    assert "4 (3 lost)" in shown
    assert "2 (1 lost)" in shown
