"""All waiters in a process share one query to the record."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from sagas.record import queries
from sagas.runtime import waiters as waiters_module
from sagas.runtime.waiters import FIRST_PAUSE_S, LONGEST_PAUSE_S, Waiters
from sagas.states import SagaStatus
from tests.support.waiting import HANG_S, wait_until

DONE = SagaStatus.COMPLETED


class Record:
    """Answers as the record's database does, and logs each query."""

    def __init__(self) -> None:
        self.ended: dict[UUID, SagaStatus] = {}
        self.questions: list[set[UUID]] = []
        self.asked_at: list[float] = []
        self.clock = time.monotonic
        self.asking = 0
        self.most_asking = 0
        self.error: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def read(self, work: Callable[[Any], Any]) -> Any:
        with self._lock:
            self.asking += 1
            self.most_asking = max(self.most_asking, self.asking)
        try:
            found = work(self)
            self.hold.wait(HANG_S)
        finally:
            with self._lock:
                self.asking -= 1
        return found

    def answer(self, wanted: tuple[UUID, ...]) -> dict[UUID, SagaStatus]:
        self.questions.append(set(wanted))
        self.asked_at.append(self.clock())
        if self.error is not None:
            raise self.error
        return {saga_id: self.ended[saga_id] for saga_id in wanted if saga_id in self.ended}


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setattr(queries, "ended_among", lambda record, wanted: record.answer(wanted))
    return Record()


@pytest.fixture
def waiters(record: Record) -> Waiters:
    return Waiters(record)  # type: ignore[arg-type]  # a stand-in that reads


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as pool:
        yield pool


def saga(number: int = 1) -> UUID:
    return UUID(int=number)


def is_empty(waiters: Waiters) -> bool:
    return not waiters._wanted and not waiters._ended  # noqa: SLF001 - nothing else shows growth


def test_the_first_query_returns_a_saga_that_has_ended(waiters: Waiters, record: Record) -> None:
    record.ended[saga()] = DONE
    assert waiters.wait(saga(), HANG_S) is DONE
    assert record.questions == [{saga()}]


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_of_zero_asks_once(timeout_s: float, waiters: Waiters, record: Record) -> None:
    assert waiters.wait(saga(), timeout_s) is None
    record.ended[saga()] = DONE
    assert waiters.wait(saga(), timeout_s) is DONE
    assert record.questions == [{saga()}] * 2
    assert is_empty(waiters)


class Clock:
    """A clock that only a wait moves, by exactly its timeout."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, timeout_s: float) -> None:
        self.now_s += timeout_s


def test_a_wait_asks_less_and_less_often_until_its_timeout_ends_it(
    waiters: Waiters, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    record.clock = clock.monotonic
    monkeypatch.setattr(waiters_module, "time", clock)
    monkeypatch.setattr(waiters._changed, "wait", clock.wait)  # noqa: SLF001 - the one way to wait
    assert waiters.wait(saga(), 1.1) is None
    assert clock.now_s == pytest.approx(1001.1, abs=0.002)
    pauses = [later - earlier for earlier, later in pairwise(record.asked_at)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 2 * FIRST_PAUSE_S
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S, abs=0.002)


def test_a_waiter_wakes_soon_after_the_end(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    waits = threads.submit(waiters.wait, saga(), HANG_S)
    wait_until(lambda: waiters._pause_s >= LONGEST_PAUSE_S)  # noqa: SLF001 - it asks rarely now
    asked = len(record.questions)
    record.ended[saga()] = DONE
    assert waits.result(timeout=HANG_S) is DONE
    assert len(record.questions) <= asked + 2, "by the next question, or one is on its way"
    assert waiters._pause_s == LONGEST_PAUSE_S  # noqa: SLF001


def test_many_waiters_share_one_query_and_each_gets_its_own_answer(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    waits = {n: threads.submit(waiters.wait, saga(n), HANG_S) for n in range(50)}
    everybody = {saga(n) for n in waits}
    wait_until(lambda: everybody in record.questions, what="one question for all")
    statuses = list(SagaStatus)[2:]
    record.ended |= {saga(n): statuses[n % 3] for n in waits}
    assert {n: w.result(timeout=HANG_S) for n, w in waits.items()} == {
        n: statuses[n % 3] for n in waits
    }
    assert record.most_asking == 1
    assert is_empty(waiters)


def test_many_waiters_ask_no_more_often_than_one(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    waits = [threads.submit(waiters.wait, saga(n), 1.0) for n in range(50)]
    assert [w.result(timeout=HANG_S) for w in waits] == [None] * 50
    pauses = [later - earlier for earlier, later in pairwise(record.asked_at)]
    assert min(pauses) >= FIRST_PAUSE_S
    assert is_empty(waiters)


def test_all_waiters_for_one_saga_get_it(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    waits = [threads.submit(waiters.wait, saga(), HANG_S) for _ in range(10)]
    wait_until(lambda: record.questions)
    record.ended[saga()] = DONE
    assert {w.result(timeout=HANG_S) for w in waits} == {DONE}
    assert is_empty(waiters)


def test_a_waiter_that_arrives_during_a_query_gets_a_query_of_its_own(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    """The query under way began earlier, so its answer says nothing about a newer saga."""
    record.hold.clear()
    first = threads.submit(waiters.wait, saga(1), HANG_S)
    wait_until(lambda: record.asking)
    record.ended |= {saga(1): DONE, saga(2): DONE}
    second = threads.submit(waiters.wait, saga(2), 0)
    wait_until(lambda: waiters._wanted[saga(2)])  # noqa: SLF001 - it has come
    record.hold.set()
    assert (first.result(timeout=HANG_S), second.result(timeout=HANG_S)) == (DONE, DONE)
    assert record.most_asking == 1


def test_an_answer_for_a_waiter_that_has_left_is_not_kept(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    short = threads.submit(waiters.wait, saga(1), 0.2)
    long = threads.submit(waiters.wait, saga(2), HANG_S)
    assert short.result(timeout=HANG_S) is None
    record.ended |= {saga(1): DONE, saga(2): DONE}
    assert long.result(timeout=HANG_S) is DONE
    assert is_empty(waiters)


def test_a_database_error_reaches_the_waiter_that_asked_and_leaves_the_others_waiting(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    record.error = OperationalError("SELECT", {}, Exception("it is down"))
    waits = [threads.submit(waiters.wait, saga(n), HANG_S) for n in range(5)]
    wait_until(lambda: any(w.done() for w in waits), what="one gets the error")
    record.error = None
    record.ended |= {saga(n): DONE for n in range(5)}
    ends = [_end(w) for w in waits]
    assert OperationalError in ends
    assert set(ends) <= {OperationalError, DONE}
    assert waiters.wait(saga(), HANG_S) is DONE  # and a later waiter is not held up
    assert is_empty(waiters)


def _end(waits: "Future[SagaStatus | None]") -> object:
    error = waits.exception(timeout=HANG_S)
    return type(error) if error else waits.result()


def test_the_error_of_a_database_that_stays_down_reaches_every_waiter(
    waiters: Waiters, record: Record, threads: ThreadPoolExecutor
) -> None:
    record.error = OperationalError("SELECT", {}, Exception("it is down"))
    waits = [threads.submit(waiters.wait, saga(n), HANG_S) for n in range(5)]
    assert [_end(w) for w in waits] == [OperationalError] * 5
    assert is_empty(waiters)


def test_an_interrupt_between_the_turn_and_the_query_holds_nobody_up(
    waiters: Waiters, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C or a soft time limit, the waiter whose turn it was never asks."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(waiters, "_query", interrupted)
        with pytest.raises(KeyboardInterrupt):
            waiters.wait(saga(), HANG_S)
    record.ended[saga()] = DONE
    assert waiters.wait(saga(), 1) is DONE
    assert is_empty(waiters)
