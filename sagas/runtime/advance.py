"""Advancing one saga by its record: shared by the turn-back task and the sweep."""

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from sagas import faults
from sagas.decision import Blocked, Decision, Evidence, SagaState, StepState, advance
from sagas.record.due import note_unsent
from sagas.record.store import Committed
from sagas.runtime.app import Runtime
from sagas.runtime.log_fields import of_saga
from sagas.runtime.messages import Chain

__all__ = ["advance_saga"]

logger = logging.getLogger(__name__)


def advance_saga(
    runtime: Runtime,
    saga_id: UUID,
    *,
    alive: Callable[[StepState], bool],
    lost: Callable[[SagaState], bool],
    evidence: Callable[[SagaState], Evidence] = lambda _: Evidence(),
    actor: str,
    point: str,
) -> Committed | None:
    """Decide what a saga needs, commit it and publish it; None where there is no such saga.

    *point* is the fault point between the commit and the publish.
    """
    chance = random.random()

    def decide(saga: SagaState) -> Decision:
        decision = advance(
            saga,
            alive=alive,
            lost=lost(saga),
            timing=runtime.timing,
            chance=chance,
            evidence=evidence(saga),
        )
        return _with_queue(runtime, decision, saga)

    advanced = runtime.store.transition(saga_id, decide, actor=actor)
    if advanced is None:
        return None
    if dispatch := advanced.decision.dispatch:
        faults.reach(point, advanced.before.key)
        _publish(runtime, Chain(advanced.after, dispatch, advanced.epoch))
    if note := advanced.decision.note:
        saga = advanced.after
        logger.info("Saga %s %s (%s): %s.", saga.name, saga.key, saga.id, note, extra=of_saga(saga))
    return advanced


def _publish(runtime: Runtime, chain: Chain) -> None:
    if not runtime.messages.publish(chain):
        runtime.database.write(lambda c: note_unsent(c, chain.saga))


def _with_queue(runtime: Runtime, decision: Decision, saga: SagaState) -> Decision:
    """Add the queue to the reason why a saga is blocked: Celery's routes know it, no plan does."""
    blocked = decision.values.get("blocked")
    if not blocked or (lane := runtime.messages.lane_of(saga)) is None:
        return decision
    named: Blocked = {**blocked, "queue": lane.queue.name}
    return replace(decision, values={**decision.values, "blocked": named})
