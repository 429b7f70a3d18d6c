"""Moving one saga on by its record: what the turn-back duty and the sweep have in common."""

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from sagas import faults
from sagas.decision import Decision, SagaState, StepState, awaited, move_on
from sagas.record.due import note_unsent
from sagas.record.store import Transition
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain

__all__ = ["move_saga_on"]

logger = logging.getLogger(__name__)


def move_saga_on(
    runtime: Runtime,
    saga_id: UUID,
    *,
    alive: Callable[[StepState], bool],
    lost: Callable[[SagaState], bool],
    actor: str,
    point: str,
) -> Transition | None:
    """Decide, write, commit and publish what a saga needs; None where there is no such saga.

    *point* names the fault point between the commit and the publish.
    """
    chance = random.random()

    def decide(saga: SagaState) -> Decision:
        decision = move_on(
            saga, alive=alive, lost=lost(saga), timing=runtime.settings.timing, chance=chance
        )
        return _with_queue(runtime, decision, saga)

    moved = runtime.store.transition(saga_id, decide, actor=actor)
    if moved is None:
        return None
    if dispatch := moved.decision.dispatch:
        faults.reach(point, moved.before.key)
        _publish(runtime, Chain(moved.after, dispatch, moved.epoch))
    _tell(moved)
    return moved


def _publish(runtime: Runtime, chain: Chain) -> None:
    if not runtime.messages.publish(chain):
        runtime.database.write(lambda c: note_unsent(c, chain.saga))


def _with_queue(runtime: Runtime, decision: Decision, saga: SagaState) -> Decision:
    """Name the queue of a saga that waits for a worker: Celery's routes know it, no plan does."""
    waiting, call = decision.values.get("waiting"), awaited(saga)
    if not waiting or call is None:
        return decision
    named = {**waiting, "queue": runtime.messages.queue_of(call).name}
    return replace(decision, values={**decision.values, "waiting": named})


def _tell(moved: Transition) -> None:
    saga = moved.before
    if moved.decision.note:
        logger.info("Saga %s (%s): %s.", saga.id, saga.key, moved.decision.note)
