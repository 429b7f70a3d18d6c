"""A step runs again after a wait: a message keeps a short one, and the record a long one."""

from dataclasses import replace

from sagas.decision.decision import Decision, RetryLater, StepChange
from sagas.decision.progress import after, remaining, with_change
from sagas.decision.state import SagaState, Timing

__all__ = ["run_again"]


def run_again(saga: SagaState, change: StepChange, wait_s: float, timing: Timing) -> Decision:
    """Release a step, which *change* is about, and have it run again after a wait."""
    retry_at = after(saga, wait_s)
    change = replace(
        change,
        values={**change.values, "claim": None, "retry_at": retry_at},
        detail={**(change.detail or {}), "retry_in_s": round(wait_s, 3)},
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
        dispatch=(
            remaining(with_change(saga, change), change.operation, wait_s) if by_message else None
        ),
    )
