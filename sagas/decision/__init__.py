"""What happens next: pure functions from a saga's state and an event to writes and a message.

Nothing else decides. The caller locks the saga, runs ``transition``, writes what comes out of it in
the same database transaction, and only then publishes. Two rules hold everything together:

* An attempt belongs to the holder of its *claim*, a token made for one execution. Only the holder
  may report the outcome.
* Every take-over raises the *epoch*. A message or a writer of an older epoch changes nothing.
"""

from sagas.decision.advance import advance
from sagas.decision.blocked import FAILED_SWEEPS_TO_ALERT, Evidence, resent_at_once
from sagas.decision.claim import claim
from sagas.decision.columns import (
    AttemptError,
    Blocked,
    Holder,
    Parked,
    Resolved,
    SagaColumns,
    SagaFailure,
    StepColumns,
)
from sagas.decision.conclude import conclude
from sagas.decision.decision import (
    Accepted,
    Answer,
    Decision,
    Declined,
    Dispatch,
    Done,
    Dropped,
    Fenced,
    Granted,
    Recorded,
    RetryLater,
    StepChange,
)
from sagas.decision.operate import cancel, resolve, retry, skip
from sagas.decision.patience import PATIENCE_LEASES
from sagas.decision.plain import SOME_MOMENT, turn_of, waiting
from sagas.decision.progress import (
    awaited_call,
    awaited_step,
    call_of,
    remaining,
    with_change,
)
from sagas.decision.results import Errored, Postponed, Probed, Refused, Result, Succeeded
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.transition import Decide, Entry, Transition, transition

__all__ = [
    "FAILED_SWEEPS_TO_ALERT",
    "PATIENCE_LEASES",
    "SOME_MOMENT",
    "Accepted",
    "Answer",
    "AttemptError",
    "Blocked",
    "Decide",
    "Decision",
    "Declined",
    "Dispatch",
    "Done",
    "Dropped",
    "Entry",
    "Errored",
    "Evidence",
    "Fenced",
    "Granted",
    "Holder",
    "Parked",
    "Postponed",
    "Probed",
    "Recorded",
    "Refused",
    "Resolved",
    "Result",
    "RetryLater",
    "SagaColumns",
    "SagaFailure",
    "SagaState",
    "StepChange",
    "StepColumns",
    "StepState",
    "Succeeded",
    "Timing",
    "Transition",
    "advance",
    "awaited_call",
    "awaited_step",
    "call_of",
    "cancel",
    "claim",
    "conclude",
    "remaining",
    "resent_at_once",
    "resolve",
    "retry",
    "skip",
    "transition",
    "turn_of",
    "waiting",
    "with_change",
]
