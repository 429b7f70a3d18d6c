"""Moving one saga on by its record: what the turn-back duty and the sweep have in common."""

import logging
import random
from collections.abc import Callable
from uuid import UUID

from sagas import faults
from sagas.decision import Decision, SagaState, StepState, move_on
from sagas.record.store import Transition
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain
from sagas.states import SagaStatus

__all__ = ["move_saga_on"]

logger = logging.getLogger(__name__)


def move_saga_on(
    runtime: Runtime,
    saga_id: UUID,
    *,
    alive: Callable[[StepState], bool],
    lost: Callable[[SagaState], bool],
    actor: str,
) -> Transition | None:
    """Decide, write, commit and publish what a saga needs; None where there is no such saga."""
    chance = random.random()

    def decide(saga: SagaState) -> Decision:
        return move_on(
            saga, alive=alive, lost=lost(saga), timing=runtime.settings.timing, chance=chance
        )

    moved = runtime.store.transition(saga_id, decide, actor=actor)
    if moved is None:
        return None
    if moved.status is SagaStatus.COMPENSATING and moved.before.status is not moved.status:
        faults.reach("turn_back.recorded", moved.before.key)
    if dispatch := moved.decision.dispatch:
        runtime.messages.publish(Chain(moved.after, dispatch, moved.epoch))
    _tell(moved)
    return moved


def _tell(moved: Transition) -> None:
    saga = moved.before
    if moved.decision.note:
        logger.info("Saga %s (%s): %s.", saga.id, saga.key, moved.decision.note)
