"""A saga is blocked where it needs a deploy or a repair: when people are told, and by what.

Celery discards a message for a task that the worker does not have, and tells nobody. All that the
record sees is a message that gets lost each time it is sent.
"""

from dataclasses import replace

from sagas.decision.columns import Blocked, SagaColumns
from sagas.decision.decision import Decision
from sagas.decision.progress import call_of
from sagas.decision.state import SagaState
from sagas.events import Event
from sagas.states import Operation

__all__ = ["FAILED_SWEEPS_TO_ALERT", "RESENDS_TO_ALERT", "sent_again"]

#: A broker that loses messages, or a half-finished deployment, may cost one or two in a row.
RESENDS_TO_ALERT = 3

#: A busy database may make one or two sweeps in a row fail.
FAILED_SWEEPS_TO_ALERT = 3


def sent_again(saga: SagaState, step: str, operation: Operation, sent: Decision) -> Decision:
    """Count a message that is sent again; alert once if no worker ever claims it.

    The history records every resend up to the alert. After that it would grow for as long as the
    saga is blocked, and say nothing new.
    """
    resends = saga.resends + 1
    counted = replace(sent, values={**sent.values, "resends": resends}, note=Event.SENT_AGAIN)
    if saga.blocked:
        return replace(counted, note=None)
    if resends < RESENDS_TO_ALERT:
        return counted
    blocked = _no_worker(saga, step, operation, resends)
    values: SagaColumns = {**counted.values, "blocked": blocked}
    return replace(counted, values=values, note=Event.BLOCKED, why=blocked["reason"])


def _no_worker(saga: SagaState, step: str, operation: Operation, resends: int) -> Blocked:
    call = call_of(saga, step, operation)
    reason = (
        f"No worker ran the {operation} of {step} (task {call.task}), although its message was "
        f"sent again {resends} times. Deploy a worker that has the task, or cancel the saga."
    )
    return {"reason": reason, "steps": [step], "task": call.task, "queue": call.queue}
