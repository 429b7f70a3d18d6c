"""A participant asks to be called again later: how long may it make its step wait?"""

import math
from dataclasses import replace

from sagas.decision.again import run_again
from sagas.decision.columns import (
    AttemptError,
    StepColumns,
    attempt_failed,
    attempt_postponed,
    without_traceback,
)
from sagas.decision.decision import Decision, StepChange
from sagas.decision.progress import call_of
from sagas.decision.results import Postponed, Refused
from sagas.decision.state import SagaState, StepState, Timing
from sagas.retry import to_seconds
from sagas.states import Operation, StepStatus

__all__ = ["bounded", "postponed"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: The shortest wait, in seconds: so the bound on the waiting in all bounds the number of waits too.
SHORTEST_S = 1.0


def bounded(
    saga: SagaState, step: StepState, operation: Operation, result: Postponed
) -> Postponed | Refused:
    """Return the wait that follows, or the refusal that the request amounts to.

    It is one where the saga turns back anyway, and where the policy allows no such wait.
    """
    if operation is ACTION and saga.failure:
        return Refused(result.error, result.probed)
    _, waited_s = step.postponed(operation)
    at_most = _at_most(saga, step, operation)
    if waited_s + result.wait_s > at_most or waited_s + _counted_s(result.wait_s) > at_most:
        return Refused(_too_long(saga, step, operation, result), result.probed)
    return replace(result, wait_s=max(result.wait_s, SHORTEST_S))


def postponed(
    saga: SagaState, step: StepState, operation: Operation, result: Postponed, timing: Timing
) -> Decision:
    """Decide when a step runs again that its participant postponed."""
    number, waited_s = step.postponed(operation)
    waiting_s = waited_s + _counted_s(result.wait_s)
    columns: StepColumns = {}
    if operation is ACTION and step.probe_attempt:  # the probe ran on its own, and asks for time
        columns["probe_attempt"] = step.probe_attempt - 1
    else:
        number += 1
    columns |= attempt_failed(operation, saga.now, result.error)
    columns |= attempt_postponed(operation, number, waiting_s)
    if operation is COMPENSATION:
        status = StepStatus.COMPENSATING
    else:
        # It had no effect; an earlier attempt may have had one all the same.
        status = StepStatus.UNKNOWN if step.doubtful else StepStatus.PENDING
    detail = {
        "error": without_traceback(result.error),
        "postponements": number,
        "postponed_s": waiting_s,
    }
    change = StepChange(step.name, operation, step.attempts(operation), status, columns, detail)
    return run_again(saga, change, result.wait_s, timing)


def _counted_s(wait_s: float) -> int:
    """Return the whole seconds that a wait counts for."""
    return math.ceil(max(wait_s, SHORTEST_S))


def _at_most(saga: SagaState, step: StepState, operation: Operation) -> float:
    return to_seconds(call_of(saga, step.name, operation).retry.max_postponed)


def _too_long(
    saga: SagaState, step: StepState, operation: Operation, result: Postponed
) -> AttemptError:
    _, waited_s = step.postponed(operation)
    at_most = _at_most(saga, step, operation)
    error = result.error.copy()
    error["type"] = "PostponedTooLong"
    error["message"] = (
        f"The {operation} of {step.name} asked for a wait of {result.wait_s:g} s, after {waited_s} "
        f"s of such waits, and its policy allows {at_most:g} s in all. If that is too little, give "
        f"it more: retry=Retry(max_postponed=…). It said: {error['message']}"
    )
    return error
