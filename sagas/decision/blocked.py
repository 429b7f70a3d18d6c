"""A saga is blocked where it needs a deploy or a repair: when people are told, and by what.

Celery discards a message for a task that the worker does not have, and tells nobody. All that the
record sees is a message that gets lost each time it is sent. A message in a queue that no worker
consumes is not lost, and waits all the same. A worker that cannot reach the record fails before it
claims anything.
"""

from dataclasses import dataclass, replace

from sagas.decision.columns import Blocked, SagaColumns
from sagas.decision.decision import Decision
from sagas.decision.progress import call_of
from sagas.decision.state import SagaState
from sagas.events import Event
from sagas.states import Operation

__all__ = [
    "FAILED_SWEEPS_TO_ALERT",
    "RESENDS_TO_ALERT",
    "UNCONSUMED_TO_ALERT",
    "Evidence",
    "not_lost",
    "resent_at_once",
    "sent_again",
]

#: A broker that loses messages, or a half-finished deployment, may cost one or two in a row.
RESENDS_TO_ALERT = 3

#: A worker that restarts, or a half-finished deployment, may miss one or two checks in a row.
UNCONSUMED_TO_ALERT = 3

#: A busy database may make one or two sweeps in a row fail.
FAILED_SWEEPS_TO_ALERT = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about the message that a saga waits for, besides whether it is lost.

    Attributes:
        unconsumed: the queue in which it waits, if no living worker consumes that queue.
        cause: the error with which a worker failed before it could claim the step.
        silent: its queue says nothing about it: it may be lost, and may as well wait.
    """

    unconsumed: str | None = None
    cause: str | None = None
    silent: bool = False


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
    return _blocked(counted, _no_worker(saga, step, operation, resends))


def not_lost(
    saga: SagaState,
    step: str,
    operation: Operation,
    evidence: Evidence,
    *,
    waiting: Decision,
    again: Decision,
) -> Decision:
    """Go on *waiting* for a message that may still arrive; alert once if nobody can run it.

    With the alert the message is sent *again*: the new epoch identifies the alert.
    """
    unconsumed = 0
    if evidence.unconsumed is not None:
        # A claim and a new message reset the checks, and with them what was counted before.
        unconsumed = min(saga.unconsumed, saga.checks) + 1
    if unconsumed != saga.unconsumed:
        waiting = replace(waiting, values={**waiting.values, "unconsumed": unconsumed})
    if saga.blocked:
        return waiting
    if evidence.unconsumed is not None and unconsumed >= UNCONSUMED_TO_ALERT:
        return _blocked(again, _unconsumed(saga, step, operation, evidence.unconsumed))
    if evidence.cause is not None and saga.resends + 1 >= RESENDS_TO_ALERT:
        again = replace(again, values={**again.values, "resends": saga.resends + 1})
        return _blocked(again, _failed(saga, step, operation, evidence.cause))
    return waiting


def resent_at_once(saga: SagaState) -> bool:
    """Tell whether a message that ended without a claim is sent again before the sweep's backoff.

    Only the first one is: whatever keeps a worker from its claim may keep it from the next one.
    """
    return saga.resends == 0


def _blocked(sent: Decision, blocked: Blocked) -> Decision:
    values: SagaColumns = {**sent.values, "blocked": blocked}
    return replace(sent, values=values, note=Event.BLOCKED, why=blocked["reason"])


def _unconsumed(saga: SagaState, step: str, operation: Operation, queue: str) -> Blocked:
    call = call_of(saga, step, operation)
    reason = (
        f"The message for the {operation} of {step} (task {call.task}) waits in queue {queue}, "
        f"which no living worker consumes. Start a worker with -Q {queue}, or cancel the saga."
    )
    return {"reason": reason, "steps": [step], "task": call.task, "queue": queue}


def _failed(saga: SagaState, step: str, operation: Operation, cause: str) -> Blocked:
    call = call_of(saga, step, operation)
    reason = (
        f"Workers fail before they can run the {operation} of {step} (task {call.task}): {cause} "
        "Repair the cause; its message is sent again meanwhile."
    )
    return {"reason": reason, "steps": [step], "task": call.task, "queue": call.queue}


def _no_worker(saga: SagaState, step: str, operation: Operation, resends: int) -> Blocked:
    call = call_of(saga, step, operation)
    reason = (
        f"No worker ran the {operation} of {step} (task {call.task}), although its message was "
        f"sent again {resends} times. Deploy a worker that has the task, or cancel the saga."
    )
    return {"reason": reason, "steps": [step], "task": call.task, "queue": call.queue}
