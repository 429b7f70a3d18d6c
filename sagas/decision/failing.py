"""A step that keeps failing: people are told before its attempts run out."""

from sagas.decision.columns import AttemptError, Failing
from sagas.decision.progress import call_of
from sagas.decision.state import SagaState, StepState
from sagas.states import Operation

__all__ = ["keeps_failing"]

#: A policy of fewer attempts is over before anybody could repair the cause.
LONG_POLICY = 10

#: At the latest after this many failures people are told.
FAILURES_TO_ALERT = 10


def keeps_failing(
    saga: SagaState, step: StepState, operation: Operation, error: AttemptError
) -> Failing | None:
    """Return what people are told now that an attempt has errored, None if nothing.

    They are told once: when half of the attempts of a long policy have failed.
    """
    at_most = call_of(saga, step.name, operation).retry.max_attempts
    failures = step.counted(operation)
    if at_most < LONG_POLICY or failures != min(at_most // 2, FAILURES_TO_ALERT):
        return None
    reason = (
        f"The {operation} of {step.name} has failed {failures} times and is tried again, "
        f"{at_most} times in all. The last error is {error['type']}: {error['message']}"
    )
    return {"reason": reason, "steps": [step.name]}
