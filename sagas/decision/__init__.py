"""What happens next: pure functions from a saga's state and an event to writes and a message.

Nothing else decides. The caller locks the saga, asks here, writes the decision in the same
transaction and only then publishes. Two rules hold everything together:

* An attempt belongs to whoever holds its *claim*, a token made for one execution. An outcome is
  accepted from its holder only.
* Every take-over raises the *epoch*. A message or a writer of an older epoch changes nothing.
"""

from sagas.decision.answers import (
    Accepted,
    Answer,
    Broke,
    Decision,
    Declined,
    Dispatch,
    Done,
    Dropped,
    Fenced,
    Granted,
    Probed,
    Recorded,
    Refused,
    Result,
    RetryLater,
    StepChange,
    Succeeded,
)
from sagas.decision.claim import claim
from sagas.decision.conclude import conclude
from sagas.decision.move_on import move_on
from sagas.decision.operate import cancel, resolve, retry, skip
from sagas.decision.order import awaited, before_deadline, remaining, with_change
from sagas.decision.state import SagaState, StepState, Timing
from sagas.decision.waiting import STUMBLES_TO_ALERT, progressed
from sagas.decision.written import Entry, entries, written

__all__ = [
    "STUMBLES_TO_ALERT",
    "Accepted",
    "Answer",
    "Broke",
    "Decision",
    "Declined",
    "Dispatch",
    "Done",
    "Dropped",
    "Entry",
    "Fenced",
    "Granted",
    "Probed",
    "Recorded",
    "Refused",
    "Result",
    "RetryLater",
    "SagaState",
    "StepChange",
    "StepState",
    "Succeeded",
    "Timing",
    "awaited",
    "before_deadline",
    "cancel",
    "claim",
    "conclude",
    "entries",
    "move_on",
    "progressed",
    "remaining",
    "resolve",
    "retry",
    "skip",
    "with_change",
    "written",
]
