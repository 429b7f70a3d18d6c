"""The errback of every step: a wake-up that lets the record decide.

Celery sends errbacks for steps that failed, for lost processes, and also for steps that succeeded
when the next link could not be published. So nothing in the message is believed but one thing: the
chain of this epoch has ended. Who still holds a step is the worker's own to say.
"""

import logging
from uuid import UUID

from celery import Task, shared_task

from sagas.decision import SagaState
from sagas.runtime.app import runtime_of
from sagas.runtime.messages import TURN_BACK
from sagas.runtime.moving import move_saga_on

__all__ = ["turn_back"]

logger = logging.getLogger(__name__)


# Bound, so that Celery sends it as a message; an errback that takes more than one argument and is
# not bound runs inline, in the process that just failed.
@shared_task(  # type: ignore[untyped-decorator]  # Celery has no types
    name=TURN_BACK, bind=True, ignore_result=True, acks_late=False, typing=False
)
def turn_back(self: Task, /, *args: object, **_: object) -> str:
    """Move the saga on, if it is still at the epoch in which the task failed."""
    match args:
        case [_, str(saga_id), int(epoch)]:
            pass
        case _:
            return _malformed()
    try:
        saga_uuid = UUID(saga_id)
    except ValueError:
        return _malformed()
    runtime = runtime_of(self.app)
    known = runtime.store.peek(saga_uuid)
    if known is None or known.epoch != epoch:
        return "void: the saga has moved on"

    def lost(saga: SagaState) -> bool:
        # This chain has ended, so whatever the saga waits for will not come from it.
        return saga.epoch == epoch

    moved = move_saga_on(
        runtime,
        saga_uuid,
        alive=lambda _: True,
        lost=lost,
        actor=f"turn-back {runtime.hostname}",
        point="turn_back.recorded",
    )
    return moved.status if moved else "no such saga"


def _malformed() -> str:
    logger.warning("A message for %s is none that the engine sends; dropped.", TURN_BACK)
    return "dropped: malformed"
