"""A step may end in ways that Celery does not call a failure: ``sys.exit()``, ``Reject``, …"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from celery.exceptions import WorkerShutdown, WorkerTerminate
from greenlet import GreenletExit  # type: ignore[import-untyped]

from sagas import AttemptAborted
from sagas.events import Event
from sagas.states import Operation
from sagas.worker import attempt
from sagas.worker.end_of_process import ends_process
from sagas.worker.error_report import safe_to_log
from tests.field.pools_app import WAYS, app, end
from tests.support.pools import POOLS, Pools
from tests.support.waiting import HANG_S, wait_until


@pytest.mark.parametrize("pool", POOLS)
def test_its_outcome_is_unknown_and_it_is_retried_and_undone_while_the_worker_goes_on(
    pool: str, pools: Pools
) -> None:
    pools.start("ends", **{way: {"how": way} for way in WAYS})
    with pools.worker(pool) as worker:
        pools.wait_until_ended(*WAYS)
        pools.start("ends", after={})
        pools.wait_until_ended("after")
        log = worker.log.read_text()
    for way, (error, _) in WAYS.items():
        assert pools.effects(way) == ["began", "began", "undone"], way
        assert pools.error_type(way) == error
        assert Event.TAKEN_OVER not in [entry.event for entry in pools.history(way)], way
    assert pools.effects("after") == ["began"]
    assert "ended with SystemExit: 3; its outcome is unknown" in log


def test_a_child_that_is_told_to_stop_records_the_outcome_and_then_ends(pools: Pools) -> None:
    pools.start("ends", **{"job-1": {"how": "hangs at first"}})
    with pools.worker("prefork", "-c", "1") as worker:
        wait_until(lambda: pools.effects("job-1") == ["began"], timeout_s=HANG_S)
        (child,) = worker.children
        child.send_signal(signal.SIGTERM)
        pools.wait_until_ended("job-1", timeout_s=HANG_S)
        assert not child.is_running()
    first = next(entry for entry in pools.history("job-1") if entry.event == Event.UNKNOWN)
    assert first.detail is not None
    assert first.detail["error"]["type"] == "SystemExit"
    assert first.detail["losses"] == 1
    assert pools.effects("job-1") == ["began", "began"]


@pytest.fixture
def handler() -> Iterator[Callable[[], None]]:
    """Return a function that sends this process a signal whose handler exits."""

    def exit_here(*_: object) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGUSR2, exit_here)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, before)


def error_of(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - that is what is asked for
        return error
    raise AssertionError("it raised nothing")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_exit_ends_the_process_only_if_a_signal_or_celery_requested_it(
    handler: Callable[[], None],
) -> None:
    assert ends_process(error_of(handler))
    assert ends_process(WorkerShutdown(0))
    assert ends_process(WorkerTerminate(0))
    assert ends_process(error_of(lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert not ends_process(error_of(sys.exit))
    for error in (
        asyncio.CancelledError(),
        GeneratorExit(),
        BaseExceptionGroup("g", [SystemExit()]),
    ):
        assert not ends_process(error)


def test_an_interrupt_in_another_thread_ends_no_process() -> None:
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(ends_process(error_of(interrupt))))
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize(("error", "way"), WAYS.values(), ids=WAYS.keys())
def test_celery_is_given_a_failure_that_it_neither_obeys_nor_fails_to_log(
    error: str, way: Callable[[], object]
) -> None:
    given = safe_to_log(error_of(way), frozenset())
    assert type(given) is AttemptAborted
    assert error in str(given)


def test_a_greenlet_that_is_killed_while_the_engine_writes_fails_its_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(_: object) -> None:
        raise GreenletExit

    monkeypatch.setattr(attempt, "runtime_of", killed)
    request = SimpleNamespace(id="task-1", hostname="one@here", chain=None)
    task: Any = SimpleNamespace(name="pools.end", app=app, request=request)
    args = [str(UUID(int=1)), "pools.end", 1]
    with pytest.raises(AttemptAborted, match="GreenletExit interrupted"):
        attempt.run_attempt(task, end, Operation.ACTION, args)
