"""The sweep: every worker looks for sagas that are due, and moves them on by their record."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from sagas import faults
from sagas.decision import SagaState, StepState
from sagas.record import due, liveness
from sagas.record.stumbles import stumble
from sagas.runtime.app import Runtime
from sagas.runtime.evidence import Evidence
from sagas.runtime.hand import Hand
from sagas.runtime.moving import move_saga_on

__all__ = ["Sweep"]

logger = logging.getLogger(__name__)

#: Sagas taken at once; they are kept from the other sweeps for a few leases.
BATCH = 100

#: An error is told of in so many characters.
_ERROR_LIMIT = 500


class Sweep:
    """The duty of one worker's main process; nobody is elected, everybody sweeps."""

    def __init__(self, runtime: Runtime, hand: Hand) -> None:
        self._hand = hand
        self._runtime = runtime
        self._lease_s = runtime.settings.saga_lease_s
        self._actor = f"sweep {runtime.hostname}"

    def sweep_once(self) -> int:
        """Move on what is due; return how many sagas were looked at."""
        self._vouch()
        self._find_dropped_attempts()
        database = self._runtime.database
        if not database.read(due.any_due):
            return 0
        fresh = database.read(lambda c: liveness.fresh_workers(c, self._lease_s))
        evidence = Evidence(self._runtime.messages, _furthest(fresh), margin_s=self._lease_s)
        looked_at = 0
        deadline = time.monotonic() + 2 * self._lease_s
        taken = BATCH
        while taken == BATCH and time.monotonic() < deadline:
            taken = self._look_at(evidence)
            looked_at += taken
        # Last, and a batch at most: those that could not be moved on before.
        return looked_at + self._look_at(evidence, stumbled=True)

    def _look_at(self, evidence: Evidence, *, stumbled: bool = False) -> int:
        hold_s = 3 * self._lease_s
        batch = self._runtime.database.write(
            lambda c: due.take_due(c, limit=BATCH, hold_s=hold_s, stumbled=stumbled)
        )
        for saga_id in batch:
            with self._stumbling(saga_id):
                self._move_on(saga_id, evidence)
        return len(batch)

    @contextmanager
    def _stumbling(self, saga_id: UUID) -> Iterator[None]:
        """Let one saga that cannot be moved keep the sweep from no other."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is; it is counted and told of
            self._put_off(saga_id, error)

    def _put_off(self, saga_id: UUID, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:_ERROR_LIMIT]
        stumbles = self._runtime.database.write(
            lambda c: stumble(
                c, saga_id, text, timing=self._runtime.settings.timing, actor=self._actor
            )
        )
        if stumbles is None:
            logger.info(
                "Saga %s could not be moved on (%s): it has ended, or is locked.", saga_id, text
            )
            return
        logger.warning(
            "Saga %s could not be moved on, %s times in a row (%s); it is tried again.",
            saga_id,
            stumbles,
            text,
            exc_info=error if stumbles == 1 else None,
        )

    def _move_on(self, saga_id: UUID, evidence: Evidence) -> None:
        known = self._runtime.store.peek(saga_id)
        if known is None:
            return
        faults.reach("sweep.reserved", known.key)
        # The broker is asked before the saga is locked, so a slow one blocks nobody.
        lost = evidence.lost(known)

        def still_lost(saga: SagaState) -> bool:
            return lost and (saga.epoch, saga.sent_at) == (known.epoch, known.sent_at)

        self._move(saga_id, alive=self._alive, lost=still_lost)

    def _alive(self, step: StepState) -> bool:
        # Who is dead is for the burial to say: it gives the others time to speak up after a gap.
        if step.worker == self._runtime.worker_id:
            return step.task_id in self._hand.task_ids()
        return step.attended

    def _vouch(self) -> None:
        """Put off the sagas whose messages this worker has received and not begun."""
        settings = self._runtime.settings
        within_s = settings.timing.timer_s + self._lease_s
        if waiting := self._hand.waiting(within_s=within_s):
            self._runtime.database.write(lambda c: due.vouch(c, waiting, hold_s=self._lease_s))

    def _find_dropped_attempts(self) -> None:
        """Take over attempts that the record gives to this worker and this worker does not run.

        So ends what a lost child process held, and an attempt whose outcome could not be written.
        """
        worker_id = self._runtime.worker_id
        if worker_id is None:
            return
        held = self._runtime.database.read(lambda c: liveness.held_by(c, worker_id))
        in_hand = self._hand.task_ids()  # read after the record: a claim is made by one in hand
        for saga_id, task_id in held.items():
            if task_id not in in_hand:
                with self._stumbling(saga_id):
                    self._take_back(saga_id, task_id)

    def _take_back(self, saga_id: UUID, task_id: str) -> None:
        self._move(saga_id, alive=lambda step: step.task_id != task_id, lost=lambda _: False)

    def _move(
        self,
        saga_id: UUID,
        *,
        alive: Callable[[StepState], bool],
        lost: Callable[[SagaState], bool],
    ) -> None:
        move_saga_on(
            self._runtime,
            saga_id,
            alive=alive,
            lost=lost,
            actor=self._actor,
            point="sweep.recorded",
        )


def _furthest(workers: Mapping[UUID, Mapping[str, float]]) -> dict[str, float]:
    furthest: dict[str, float] = {}
    for seen in workers.values():
        for queue, moment in seen.items():
            furthest[queue] = max(furthest.get(queue, 0.0), moment)
    return furthest
