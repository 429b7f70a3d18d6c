"""The expiry of a worker makes its sagas due. Only the sweep then decides, and nobody before it.

An errback that came after the expiry took the attempt for one that still runs, and put off the
saga's next check as if a worker would extend it. The saga waited for its latest check instead.
"""

from uuid import UUID

import pytest

from sagas.duties.in_flight import InFlight
from sagas.duties.reclaim import Reclaim
from sagas.ids import uuid7
from sagas.record import workers
from sagas.record.store import Store
from sagas.record.workers import Heartbeat
from sagas.runtime.app import Runtime
from sagas.runtime.messages import TURN_BACK
from tests.support.driver import Driver
from tests.support.records import claims, events, started


@pytest.fixture
def orphan(store: Store) -> UUID:
    """Return a saga whose first step was held by a worker that has expired."""
    worker_id = uuid7()
    saga_id = started(store)
    heartbeat = Heartbeat(worker_id, "one@here", 7, {})
    store.database.write(lambda c: workers.write_heartbeat(c, heartbeat))
    claims(store, saga_id, "flight", worker=worker_id)
    store.database.write(lambda c: workers.expire(c, worker_id, None))
    return saga_id


def test_an_errback_takes_over_what_an_expired_worker_held(
    orphan: UUID, store: Store, driver: Driver
) -> None:
    driver.send(TURN_BACK, "any id", str(orphan), 1)
    assert "taken over" in events(store.database, orphan)


def test_a_worker_that_reclaims_takes_it_over_too(
    orphan: UUID, store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt that the worker had lost was taken over, and its successor's worker expired."""
    monkeypatch.setattr(workers, "held_by", lambda *_: {orphan: "a task that is lost"})
    runtime.worker_id = uuid7()
    Reclaim(runtime, InFlight()).reclaim_once()
    assert "taken over" in events(store.database, orphan)
