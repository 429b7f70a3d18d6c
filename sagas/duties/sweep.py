"""The sweep: every worker looks for sagas that are due, and advances them by their record."""

import time
from collections.abc import Callable, Mapping
from uuid import UUID

from sagas import faults
from sagas.decision import PATIENCE_LEASES, Evidence, SagaState, StepState
from sagas.duties.failed_sweep import postponed_on_error
from sagas.duties.in_flight import InFlight
from sagas.duties.lost_messages import LostMessages, Movement
from sagas.record import due, workers
from sagas.runtime.advance import advance_saga
from sagas.runtime.app import Runtime

__all__ = ["Sweep"]

#: How many sagas are reserved at a time, which keeps them from the other sweeps.
BATCH = 100


class Sweep:
    """The sweep of one worker's main process; there is no leader, every worker sweeps."""

    def __init__(
        self,
        runtime: Runtime,
        in_flight: InFlight,
        *,
        is_steady: Callable[[], bool] = lambda: True,
    ) -> None:
        self._runtime = runtime
        self._in_flight = in_flight
        self._is_steady = is_steady
        self._lease_s = runtime.settings.saga_lease_s
        self._movement = Movement(PATIENCE_LEASES * self._lease_s)

    def sweep_once(self) -> int:
        """Advance the sagas that are due; return how many were checked."""
        self._runtime.require_own_record(claim=True)
        database = self._runtime.database
        if not database.read(due.any_due):
            return 0
        live = database.read(lambda c: workers.live_workers(c, self._lease_s))
        lost_messages = LostMessages(
            self._runtime.messages,
            _furthest(live),
            margin_s=self._lease_s,
            consumed=database.read(lambda c: workers.consumed_queues(c, self._lease_s)),
            withheld=database.read(lambda c: workers.withheld_queues(c, self._lease_s)),
            movement=self._movement,
        )
        checked = 0
        deadline = time.monotonic() + 2 * self._lease_s
        batch = BATCH
        while batch == BATCH and time.monotonic() < deadline:
            batch = self._sweep_batch(lost_messages)
            checked += batch
        # Last, and one batch only: the sagas that the sweep failed to advance before.
        return checked + self._sweep_batch(lost_messages, failing=True)

    def _sweep_batch(self, lost_messages: LostMessages, *, failing: bool = False) -> int:
        reservation_s = 3 * self._lease_s
        batch = self._runtime.database.write(
            lambda c: due.reserve_due(c, limit=BATCH, reservation_s=reservation_s, failing=failing)
        )
        for saga_id in batch:
            with postponed_on_error(self._runtime, saga_id):
                self._advance(saga_id, lost_messages)
        return len(batch)

    def _advance(self, saga_id: UUID, lost_messages: LostMessages) -> None:
        known = self._runtime.store.peek(saga_id)
        if known is None or any(self._may_run(known, step) for step in known.steps.values()):
            return
        faults.reach("sweep.reserved", known.key)
        # The broker is asked before the saga is locked, so that a slow one blocks nobody.
        lost, evidence = lost_messages.is_lost(known), lost_messages.evidence(known)

        def still(saga: SagaState) -> bool:
            return (saga.epoch, saga.sent_at) == (known.epoch, known.sent_at)

        advance_saga(
            self._runtime,
            saga_id,
            alive=lambda step: self._in_flight.attends(step, self._runtime.worker_id),
            lost=lambda saga: lost and still(saga),
            evidence=lambda saga: evidence if still(saga) else Evidence(),
            actor=self._runtime.actor("sweep"),
            point="sweep.recorded",
        )

    def _may_run(self, saga: SagaState, step: StepState) -> bool:
        """Tell whether an attempt may still run although it has expired.

        Its worker extends it while it runs, unless the database was out of reach meanwhile. Then
        this worker will have missed a heartbeat too, and gives the other one time to extend it.
        """
        if not step.held or step.expires_at is None or step.expires_at > saga.now:
            return False
        if step.worker == self._runtime.worker_id:
            return step.task_id in self._in_flight.task_ids()
        return not self._is_steady() and step.attended


def _furthest(live: Mapping[UUID, Mapping[str, float]]) -> dict[str, float]:
    """Return how far each lane has moved, by whichever worker saw it furthest."""
    furthest: dict[str, float] = {}
    for seen in live.values():
        for lane, moment in seen.items():
            furthest[lane] = max(furthest.get(lane, 0.0), moment)
    return furthest
