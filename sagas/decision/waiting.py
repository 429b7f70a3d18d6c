"""A saga waits for what does not come by itself: when people are told of it, and when it is over.

Celery discards a message whose task a worker does not have, and tells nobody. What the record sees
of it is a message that is lost each time it is sent.
"""

from dataclasses import replace

from sagas.decision.answers import Decision
from sagas.decision.order import call_of
from sagas.decision.state import SagaState
from sagas.states import Operation

__all__ = ["RESENDS_TO_ALERT", "STUMBLES_TO_ALERT", "progressed", "sent_again"]

#: A broker that loses messages, or a deployment half done, may cost one or two in a row.
RESENDS_TO_ALERT = 3

#: A sweep may stumble once or twice over a database that is busy.
STUMBLES_TO_ALERT = 3


def sent_again(saga: SagaState, step: str, operation: Operation, sent: Decision) -> Decision:
    """Count a message that is sent again, and tell people once where nobody claims it.

    The history keeps what was sent again until then; after that it would grow for as long as the
    saga waits, and tell nothing new.
    """
    resends = saga.resends + 1
    counted = replace(sent, values={**sent.values, "resends": resends}, note="sent again")
    if saga.waiting:
        return replace(counted, note=None)
    if resends < RESENDS_TO_ALERT:
        return counted
    call = call_of(saga, step, operation)
    reason = (
        f"The {operation} of {step} waits for a worker that has the task {call.task}: its message "
        f"was sent again {resends} times, and nobody ran it. "
        "Deploy a worker that has the task, or cancel the saga."
    )
    waiting = {"reason": reason, "steps": [step], "task": call.task, "queue": call.queue}
    return replace(
        counted, values={**counted.values, "waiting": waiting}, note="waiting", why=reason
    )


def progressed(saga: SagaState, decision: Decision) -> Decision:
    """End the wait with what was decided, if it moves the saga on."""
    values = dict(decision.values)
    if saga.stumbles and (values or decision.steps or decision.path):
        values["stumbles"] = 0
        if saga.waiting and "task" not in saga.waiting:
            values.setdefault("waiting", None)
    if (saga.resends or saga.waiting) and (decision.steps or decision.path):
        values |= {"resends": 0, "waiting": None}
    return decision if values == decision.values else replace(decision, values=values)
