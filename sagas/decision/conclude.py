"""An attempt has ended: what does it mean for its step and its saga?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from sagas.decision.again import run_again
from sagas.decision.columns import (
    AttemptError,
    SagaColumns,
    SagaFailure,
    StepColumns,
    attempt_ended,
    attempt_failed,
    attempt_lost,
    without_traceback,
)
from sagas.decision.decision import Decision, Fenced, Recorded, StepChange
from sagas.decision.ending import end
from sagas.decision.failing import keeps_failing
from sagas.decision.postpone import bounded, postponed
from sagas.decision.progress import (
    after,
    call_of,
    current,
    has_attempts_left,
    with_change,
)
from sagas.decision.results import Errored, Postponed, Probed, Refused, Result, Succeeded
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import turn_back
from sagas.states import ENDED, Operation, StepStatus

__all__ = ["conclude", "settle"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


def conclude(
    saga: SagaState,
    name: str,
    operation: Operation,
    result: Result,
    *,
    epoch: int,
    token: str,
    timing: Timing,
    chance: float,
) -> Decision:
    """Decide what the end of an attempt means; *chance*, from 0 to 1, chooses the jitter."""
    step = saga.step(name)
    if epoch != saga.epoch or step.claim != token:
        return Decision(Fenced())
    if not step.held:  # the reply to our own commit was lost
        return Decision(Recorded(ended=saga.status in ENDED))
    return settle(saga, step, operation, result, timing, chance)


def settle(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Result,
    timing: Timing,
    chance: float,
) -> Decision:
    """Decide what a result means for a step that is held, whoever reports the result."""
    if _has_last_word(step, result.probed):
        step = replace(step, doubtful=False)
    if isinstance(result, Errored) and result.lost:
        step = _with_loss(step, operation)
    if isinstance(result, Postponed):
        result = bounded(saga, step, operation, result)
    match result:
        case Succeeded():
            return _succeeded(saga, step, operation, result, timing)
        case Errored(final=False) if _tried_again(saga, step, operation):
            return _retried(saga, step, operation, result, timing, chance)
        case Postponed():
            return postponed(saga, step, operation, result, timing)
        case Refused() | Errored():
            return _failed_for_good(saga, step, operation, result, timing)
        case _:
            assert_never(result)


def _has_last_word(step: StepState, probed: Probed | None) -> bool:
    """Tell whether the probe's answer settles what earlier attempts did.

    "It happened" does. "It did not happen" does only where no attempt ran after the probe: before
    another attempt it says nothing about a lost one, which may still arrive and take effect.
    """
    return probed is not None and (probed.happened or step.probe_attempt > 0)


def _with_loss(step: StepState, operation: Operation) -> StepState:
    if operation is COMPENSATION:
        return replace(step, compensation_losses=step.compensation_losses + 1)
    if step.probe_attempt:  # the probe ran on its own, and that was no attempt of the action
        return step
    return replace(step, losses=step.losses + 1)


def _tried_again(saga: SagaState, step: StepState, operation: Operation) -> bool:
    """Tell whether another attempt follows an errored one, even if only the probe runs in it."""
    if operation is COMPENSATION:
        return has_attempts_left(saga, step, operation)
    if saga.failure:  # it turns back as soon as nobody holds it
        return False
    policy = call_of(saga, step.name, operation).retry
    may_ask = saga.plan[step.name].probe and step.probe_attempt < policy.max_attempts
    return has_attempts_left(saga, step) or may_ask


def _succeeded(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Succeeded,
    timing: Timing,
) -> Decision:
    action, probed = operation is ACTION, result.probed
    status = StepStatus.SUCCESS if action else StepStatus.COMPENSATED
    values: StepColumns = attempt_ended(operation, saga.now)
    if action:
        values |= {"output": result.output, "error": None, "doubtful": False}
    elif probed is not None and probed.happened:
        values |= {"output": probed.output, "doubtful": False}
    detail = _answer_of(probed) or None
    change = StepChange(step.name, operation, step.attempts(operation), status, values, detail)
    return _after_step(saga, change, timing)


def _after_step(saga: SagaState, change: StepChange, timing: Timing) -> Decision:
    """Follow a step that is settled: the saga ends with it, turns back, or goes to the next."""
    changed = with_change(saga, change)
    if change.operation is ACTION and saga.failure:
        turned = turn_back(changed, timing)
        return replace(turned, answer=Recorded(ended=turned.dispatch is None), steps=(change,))
    if current(changed, change.operation) is not None:
        # After a success Celery publishes the next link; a failure ends its chain.
        on_its_way = change.status in (StepStatus.SUCCESS, StepStatus.COMPENSATED)
        sent_at = saga.now if on_its_way else None
        values: SagaColumns = {
            "due_at": after(saga, timing.lease_s),
            "checks": 0,
            "sent_at": sent_at,
        }
        return Decision(Recorded(), values=values, steps=(change,))
    status, ending = end(changed, change.operation)
    return Decision(Recorded(ended=True), path=(status,), values=ending, steps=(change,))


def _retried(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Errored,
    timing: Timing,
    chance: float,
) -> Decision:
    waits = _waits(saga, step, operation, result)
    wait_s = call_of(saga, step.name, operation).retry.wait_s(waits, chance)
    status = StepStatus.UNKNOWN if operation is ACTION else StepStatus.COMPENSATING
    columns: StepColumns = {
        **attempt_failed(operation, saga.now, result.error),
        **_losses(step, operation, result),
    }
    if operation is ACTION:
        columns["doubtful"] = True
    detail = _reported(step, operation, result)
    change = StepChange(step.name, operation, step.attempts(operation), status, columns, detail)
    failing = None if result.lost else keeps_failing(saga, step, operation, result.error)
    return replace(run_again(saga, change, wait_s, timing), failing=failing)


def _waits(saga: SagaState, step: StepState, operation: Operation, result: Errored) -> int:
    """Return which wait of the policy follows: those after losses grow apart from the others."""
    if operation is ACTION and not has_attempts_left(saga, step):
        return max(step.probe_attempt, 1)  # only the probe runs, and its waits start over
    return step.lost(operation) if result.lost else step.counted(operation)


def _failed_for_good(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Refused | Errored,
    timing: Timing,
) -> Decision:
    change = _failure(saga, step, operation, result)
    if operation is COMPENSATION or saga.failure or saga.plan[step.name].best_effort:
        return _after_step(saga, change, timing)
    values: SagaColumns = {
        "due_at": after(saga, timing.lease_s),
        "checks": 0,
        "sent_at": None,
        "failure": _failure_of(step.name, result.error),
    }
    return Decision(Recorded(), values=values, steps=(change,))


def _failure(
    saga: SagaState, step: StepState, operation: Operation, result: Refused | Errored
) -> StepChange:
    doubtful = step.doubtful or isinstance(result, Errored)
    if operation is COMPENSATION:
        status = StepStatus.COMPENSATION_FAILED
    else:
        # A refusal speaks for its own attempt only: an earlier one may have happened all the same.
        status = StepStatus.UNKNOWN if doubtful else StepStatus.FAILED
    columns: StepColumns = {
        **attempt_failed(operation, saga.now, result.error),
        **_losses(step, operation, result),
        "retry_at": None,
    }
    if operation is ACTION:
        columns["doubtful"] = doubtful
    detail = {**_reported(step, operation, result), **_answer_of(result.probed)}
    return StepChange(step.name, operation, step.attempts(operation), status, columns, detail)


def _losses(step: StepState, operation: Operation, result: Refused | Errored) -> StepColumns:
    lost = isinstance(result, Errored) and result.lost
    return attempt_lost(operation, step.lost(operation)) if lost else {}


def _reported(
    step: StepState, operation: Operation, result: Refused | Errored
) -> Mapping[str, object]:
    """Return what the history says about an attempt that ended badly."""
    error = without_traceback(result.error)
    if isinstance(result, Errored) and result.lost:
        return {"error": error, "losses": step.lost(operation)}
    return {"error": error}


def _answer_of(probed: Probed | None) -> Mapping[str, bool]:
    """Return the probe's answer for the history: it is the reason why a doubt is settled."""
    return {} if probed is None else {"probe": probed.happened}


def _failure_of(step: str, error: AttemptError) -> SagaFailure:
    failure: SagaFailure = {"step": step, "type": error["type"], "message": error["message"]}
    if "code" in error:
        failure["code"] = error["code"]
    return failure
