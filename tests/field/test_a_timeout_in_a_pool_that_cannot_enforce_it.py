"""No attempt is undone while its own worker knows that it runs; greenlets are interrupted."""

from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from sagas.decision import Holder, SagaState, Timing, claim
from sagas.duties.extend import ExtendAttempts
from sagas.duties.in_flight import InFlight
from sagas.duties.sweep import Sweep
from sagas.events import Event
from sagas.record import tables as t
from sagas.record import workers
from sagas.runtime.app import Runtime
from sagas.sql import after_now, before_now
from sagas.states import Operation, SagaStatus, StepStatus
from tests.field.pools_app import Job, overruns
from tests.support.pools import Pools, needs
from tests.support.waiting import HANG_S, wait_until

KEY = "job-1"

#: Longer than the timeout, the time to clean up, and the lease of the tests together.
TAKES_S = 12.0


def events(pools: Pools) -> list[str]:
    return [entry.event for entry in pools.history(KEY)]


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_an_attempt_that_overruns_is_left_alone_by_every_worker_and_its_result_counts(
    pool: str, pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": TAKES_S}})
    with ExitStack() as stack:
        one = stack.enter_context(pools.worker(pool))
        wait_until(lambda: pools.effects(KEY) == ["began"], timeout_s=HANG_S)
        other = stack.enter_context(pools.worker("prefork", name="other"))
        wait_until(lambda: other.ready, timeout_s=HANG_S, what="another worker sweeps")
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
        log = one.log.read_text()
    assert pools.effects(KEY) == ["began", "happened"]
    assert pools.saga(KEY).status is SagaStatus.COMPLETED
    assert Event.TAKEN_OVER not in events(pools)
    assert log.count("cannot interrupt a step: timeout= of pools.overrun has no effect here") == 1


@pytest.mark.parametrize("pool", [needs("gevent"), needs("eventlet"), "prefork"])
def test_a_step_that_can_be_interrupted_ends_at_its_timeout(pool: str, pools: Pools) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 600}})
    with pools.worker(pool) as worker:
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
        log = worker.log.read_text()
    assert pools.effects(KEY) == ["began", "undone"]
    assert pools.error_type(KEY) == "SoftTimeLimitExceeded"
    assert pools.saga(KEY).status is SagaStatus.COMPENSATED
    assert "cannot interrupt a step" not in log


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_saga_that_is_cancelled_meanwhile_turns_back_once_the_attempt_has_ended(
    pool: str, pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 600}})
    with ExitStack() as stack:
        stack.enter_context(pools.worker(pool))
        wait_until(lambda: pools.effects(KEY) == ["began"], timeout_s=HANG_S)
        stack.enter_context(pools.worker("prefork", name="other"))
        pools.cancel(KEY)
        assert Event.CANCEL_REQUESTED in events(pools)
        pools.pass_time()
        assert pools.effects(KEY) == ["began"]
        (pools.directory / "go").touch()
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert pools.effects(KEY) == ["began", "happened", "undone"]


# A child that is too busy to record its end in time is killed, and its worker records it.
@pytest.mark.parametrize(
    ("pool", "errors"),
    [("prefork", {"SystemExit", "AttemptTimedOut"}), needs("gevent", {"Timeout"})],
    ids=["prefork", "gevent"],
)
def test_a_step_that_goes_on_after_its_timeout_is_ended_some_seconds_later(
    pool: str, errors: set[str], pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 600, "how": "goes on"}})
    with pools.worker(pool):
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert pools.effects(KEY) == ["began", "was interrupted", "undone"]
    assert pools.error_type(KEY) in errors
    assert pools.saga(KEY).status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("pool", [needs("eventlet")])
def test_a_greenlet_of_eventlet_that_goes_on_after_its_timeout_is_left_alone(
    pool: str, pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": TAKES_S, "how": "goes on"}})
    with pools.worker(pool):
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert pools.effects(KEY) == ["began", "was interrupted", "happened"]
    assert pools.saga(KEY).status is SagaStatus.COMPLETED


def test_a_step_that_computes_ends_at_its_timeout_in_a_process_of_its_own(pools: Pools) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 600, "how": "computes"}})
    with pools.worker("prefork"):
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert pools.effects(KEY) == ["began", "undone"]
    assert pools.error_type(KEY) == "SoftTimeLimitExceeded"


@pytest.mark.parametrize("pool", [needs("gevent"), needs("eventlet")])
def test_a_greenlet_that_computes_cannot_be_interrupted_and_its_result_counts(
    pool: str, pools: Pools
) -> None:
    pools.start("overruns", **{KEY: {"takes_s": 6.0, "how": "computes"}})
    with pools.worker(pool):
        pools.wait_until_ended(KEY, timeout_s=HANG_S)
    assert pools.effects(KEY) == ["began", "happened"]
    assert pools.saga(KEY).status is SagaStatus.COMPLETED


class Running(InFlight):
    """What a worker has in flight that runs this one task."""

    def task_ids(self) -> set[str]:
        """Return its id."""
        return {"task-1"}


@pytest.fixture
def held(runtime: Runtime) -> UUID:
    """Return a saga whose step this worker holds, with a timeout that is almost over."""
    runtime.enter_worker("one@here")
    worker_id = runtime.worker_id
    assert worker_id is not None
    sign = workers.Heartbeat(worker_id, "one@here", 1, {})
    runtime.database.write(lambda c: workers.write_heartbeat(c, sign))
    saga_id = overruns.start(Job(key=KEY), key=KEY).id
    holder: Holder = {"worker": worker_id, "hostname": "one@here", "task_id": "task-1"}

    def decide(saga: SagaState) -> Any:
        step = saga.plan.steps[0].name
        return claim(
            saga, step, Operation.ACTION, epoch=1, token=KEY, holder=holder, timing=Timing()
        )

    runtime.store.transition(saga_id, decide, actor="a test")
    expire(runtime, after_now(0.1))
    return saga_id


def expire(runtime: Runtime, at: Any) -> None:
    runtime.database.write(lambda c: c.execute(update(t.step).values(expires_at=at)))


def sweep(runtime: Runtime, in_flight: InFlight) -> None:
    runtime.database.write(lambda c: c.execute(update(t.saga).values(due_at=before_now(1))))
    assert Sweep(runtime, in_flight).sweep_once() == 1


def status(runtime: Runtime, saga_id: UUID) -> StepStatus:
    saga = runtime.store.peek(saga_id)
    assert saga is not None
    return saga.step("pools.overrun").status


def test_another_worker_leaves_an_attempt_alone_that_its_own_has_extended(
    runtime: Runtime, held: UUID
) -> None:
    ExtendAttempts(runtime, Running()).extend_once()
    runtime.enter_worker("other@here")
    sweep(runtime, InFlight())
    assert status(runtime, held) is StepStatus.RUNNING


def test_its_own_worker_leaves_it_alone_even_if_it_could_not_extend_it(
    runtime: Runtime, held: UUID
) -> None:
    expire(runtime, before_now(60))
    sweep(runtime, Running())
    assert status(runtime, held) is StepStatus.RUNNING


def test_what_its_worker_neither_runs_nor_extends_is_taken_over(
    runtime: Runtime, held: UUID
) -> None:
    ExtendAttempts(runtime, InFlight()).extend_once()
    runtime.enter_worker("other@here")
    expire(runtime, before_now(1))
    sweep(runtime, InFlight())
    assert status(runtime, held) is StepStatus.UNKNOWN
