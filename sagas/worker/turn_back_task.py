"""The errback of every step: it wakes the saga, and the record decides.

Celery sends errbacks for failed steps, for lost processes, and for steps that succeeded when the
next link could not be published. So the message proves only one thing: the chain of this epoch has
ended. Whether an attempt still runs is for its own worker to say, unless that worker has expired.
"""

import logging
from uuid import UUID

from celery import Task, shared_task

from sagas.decision import Evidence, SagaState, resent_at_once
from sagas.runtime.advance import advance_saga
from sagas.runtime.app import runtime_of
from sagas.runtime.messages import CAUSE, TURN_BACK
from sagas.runtime.no_results import no_results
from sagas.worker.error_report import shortened

__all__ = ["turn_back"]

logger = logging.getLogger(__name__)


# Bound, so that Celery sends it as a message: an unbound errback with more than one argument runs
# inline, in the process that has just failed.
@shared_task(  # type: ignore[untyped-decorator]  # Celery has no types
    name=TURN_BACK,
    bind=True,
    ignore_result=True,
    backend=no_results,
    acks_late=False,
    typing=False,
)
def turn_back(self: Task, /, *args: object, **more: object) -> str:
    """Advance the saga if it is still at the epoch in which the task failed."""
    match args:
        case [_, str(saga_id), int(epoch)]:
            pass
        case _:
            return _malformed()
    try:
        saga_uuid = UUID(saga_id)
    except ValueError:
        return _malformed()
    cause = _readable(more.get(CAUSE))
    runtime = runtime_of(self.app)
    known = runtime.store.peek(saga_uuid)
    if known is None or known.epoch != epoch:
        return "void: the saga has gone on"

    def lost(saga: SagaState) -> bool:
        # This chain has ended, so the message that the saga waits for will not come from it.
        return saga.epoch == epoch and resent_at_once(saga)

    def evidence(saga: SagaState) -> Evidence:
        return Evidence(cause=cause if saga.epoch == epoch else None)

    advanced = advance_saga(
        runtime,
        saga_uuid,
        # An expired worker's saga is due at once, and must stay so: nobody else would put it off.
        alive=lambda step: step.attended,
        lost=lost,
        evidence=evidence,
        actor=runtime.actor("turn-back"),
        point="turn_back.recorded",
    )
    return advanced.status if advanced else "no such saga"


def _readable(cause: object) -> str | None:
    return shortened(cause) if isinstance(cause, str) else None


def _malformed() -> str:
    logger.warning("Ignored a malformed message for %s.", TURN_BACK)
    return "dropped: malformed"
