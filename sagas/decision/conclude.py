"""An attempt has ended: what does it mean for its step and its saga?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from sagas.decision.answers import (
    Broke,
    Decision,
    Fenced,
    Probed,
    Recorded,
    Refused,
    Result,
    RetryLater,
    StepChange,
    Succeeded,
)
from sagas.decision.order import (
    after,
    call_of,
    column,
    current,
    end,
    has_attempts_left,
    remaining,
    with_change,
)
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.turn_back import turn_back
from sagas.states import ENDED, Operation, StepStatus

__all__ = ["conclude", "concluded"]

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
    return concluded(saga, step, operation, result, timing, chance)


def concluded(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Result,
    timing: Timing,
    chance: float,
) -> Decision:
    """Decide what a result means for a step that is held, whoever found out."""
    if _has_last_word(step, result.probed):
        step = replace(step, doubtful=False)
    match result:
        case Succeeded():
            return _succeeded(saga, step, operation, result, timing)
        case Broke(error, final=False) if _tried_again(saga, step, operation):
            return _retried(saga, step, operation, error, timing, chance)
        case Refused() | Broke():
            return _failed_for_good(saga, step, operation, result, timing)
        case _:
            assert_never(result)


def _has_last_word(step: StepState, probed: Probed | None) -> bool:
    """Tell whether the probe's answer settles what earlier attempts did.

    "It happened" does. "It did not" does where nothing was run after it: before another attempt it
    is no word on a lost one that may still come, and may be accepted where the later one is not.
    """
    return probed is not None and (probed.happened or step.probe_attempt > 0)


def _tried_again(saga: SagaState, step: StepState, operation: Operation) -> bool:
    """Tell whether another attempt follows one that broke, be it of the probe alone."""
    policy = call_of(saga, step.name, operation).retry
    if operation is COMPENSATION:
        return step.compensation_attempt < policy.max_attempts
    if saga.failure:  # it turns back as soon as nobody holds it
        return False
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
    values: dict[str, Any] = {column(operation, "ended_at"): saga.now}
    if action:
        values |= {"output": result.output, "error": None, "doubtful": False}
    elif probed is not None and probed.happened:
        values |= {"output": probed.output, "doubtful": False}
    detail = _said(probed) or None
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
        values = {"due_at": after(saga, timing.lease_s), "looks": 0, "sent_at": sent_at}
        return Decision(Recorded(), values=values, steps=(change,))
    status, values = end(changed, change.operation)
    return Decision(Recorded(ended=True), path=(status,), values=values, steps=(change,))


def _retried(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    error: Mapping[str, Any],
    timing: Timing,
    chance: float,
) -> Decision:
    attempt = step.attempts(operation)
    # Once its attempts have run out only the probe is asked, which is patient anew.
    waits = max(step.probe_attempt, 1) if _only_asked(saga, step, operation) else attempt
    wait_s = call_of(saga, step.name, operation).retry.wait_s(waits, chance)
    retry_at = after(saga, wait_s)
    status = StepStatus.UNKNOWN if operation is ACTION else StepStatus.COMPENSATING
    change = StepChange(
        step.name,
        operation,
        attempt,
        status,
        {
            column(operation, "error"): error,
            "claim": None,
            "retry_at": retry_at,
            column(operation, "ended_at"): saga.now,
        }
        | ({"doubtful": True} if operation is ACTION else {}),
        {"error": _brief(error), "retry_in_s": round(wait_s, 3)},
    )
    by_message = wait_s <= timing.timer_s
    return Decision(
        RetryLater(wait_s),
        raise_epoch=True,
        values={
            "due_at": after(saga, wait_s + timing.lease_s) if by_message else retry_at,
            "sent_at": retry_at if by_message else None,
        },
        steps=(change,),
        dispatch=remaining(with_change(saga, change), operation, wait_s) if by_message else None,
    )


def _only_asked(saga: SagaState, step: StepState, operation: Operation) -> bool:
    return operation is ACTION and not has_attempts_left(saga, step)


def _failed_for_good(
    saga: SagaState,
    step: StepState,
    operation: Operation,
    result: Refused | Broke,
    timing: Timing,
) -> Decision:
    change = _failure(saga, step, operation, result)
    if operation is COMPENSATION or saga.failure or saga.plan[step.name].best_effort:
        return _after_step(saga, change, timing)
    failure = {"step": step.name, **_brief(result.error)}
    values = {"due_at": after(saga, timing.lease_s), "looks": 0, "sent_at": None}
    return Decision(Recorded(), values={**values, "failure": failure}, steps=(change,))


def _failure(
    saga: SagaState, step: StepState, operation: Operation, result: Refused | Broke
) -> StepChange:
    doubtful = step.doubtful or isinstance(result, Broke)
    if operation is COMPENSATION:
        status = StepStatus.COMPENSATION_FAILED
    else:
        # A refusal speaks for its own attempt only: an earlier one may have happened all the same.
        status = StepStatus.UNKNOWN if doubtful else StepStatus.FAILED
    values = {
        column(operation, "error"): result.error,
        "retry_at": None,
        column(operation, "ended_at"): saga.now,
    }
    return StepChange(
        step.name,
        operation,
        step.attempts(operation),
        status,
        values | ({"doubtful": doubtful} if operation is ACTION else {}),
        {"error": _brief(result.error), **_said(result.probed)},
    )


def _said(probed: Probed | None) -> dict[str, str]:
    """Let the history keep what the participant said: it is why a doubt is one no more."""
    if probed is None:
        return {}
    return {"probe": "it happened" if probed.happened else "it did not happen"}


def _brief(error: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the traceback, which the step keeps for its last attempt."""
    return {name: value for name, value in error.items() if name != "traceback"}
