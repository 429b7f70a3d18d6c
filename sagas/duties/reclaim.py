"""Reclaiming: attempts that the record assigns to this worker, but that it does not run."""

from uuid import UUID

from sagas.duties.failed_sweep import postponed_on_error
from sagas.duties.in_flight import InFlight
from sagas.record import workers
from sagas.runtime.advance import advance_saga
from sagas.runtime.app import Runtime

__all__ = ["Reclaim"]


class Reclaim:
    """Takes over the attempts of lost child processes, and those whose outcome was not written."""

    def __init__(self, runtime: Runtime, in_flight: InFlight) -> None:
        self._runtime = runtime
        self._in_flight = in_flight

    def reclaim_once(self) -> None:
        """Take over every attempt that this worker holds in the record but does not run."""
        worker_id = self._runtime.worker_id
        if worker_id is None:
            return
        held = self._runtime.database.read(lambda c: workers.held_by(c, worker_id))
        running = self._in_flight.task_ids()  # read after the record: a claim follows a reservation
        for saga_id, task_id in held.items():
            if task_id not in running:
                with postponed_on_error(self._runtime, saga_id):
                    self._take_over(saga_id)

    def _take_over(self, saga_id: UUID) -> None:
        advance_saga(
            self._runtime,
            saga_id,
            alive=lambda step: self._in_flight.attends(step, self._runtime.worker_id),
            lost=lambda _: False,
            actor=self._runtime.actor("sweep"),
            point="sweep.recorded",
        )
