"""Patience with a message of which nothing is known: neither that it is lost nor that it waits.

A queue that ordinary tasks keep full, a transport that does not know its lengths, a worker that
hangs with messages in its hands: none of them proves anything. So patience ends after a while, and
a copy of the message is sent. It has the epoch of the first one: whichever arrives first runs, and
a message that only waited keeps its place in the queue. As nothing is known to be wrong, nobody is
alerted. Patience doubles with each copy.
"""

from dataclasses import replace

from sagas.decision.blocked import Evidence
from sagas.decision.decision import Decision
from sagas.decision.state import SagaState, Timing
from sagas.events import Event

__all__ = ["PATIENCE_LEASES", "copied", "is_over"]

#: How long patience lasts at first, in leases.
PATIENCE_LEASES = 10

#: Patience is doubled this many times at most.
_DOUBLINGS = 10


def is_over(saga: SagaState, evidence: Evidence, timing: Timing) -> bool:
    """Tell whether a message has been waited for so long that a copy of it is sent."""
    if saga.sent_at is None or not evidence.silent or evidence.unconsumed is not None:
        return False
    patience_s = PATIENCE_LEASES * timing.lease_s * 2.0 ** min(saga.copies, _DOUBLINGS)
    return (saga.now - saga.sent_at).total_seconds() >= patience_s


def copied(saga: SagaState, sent: Decision) -> Decision:
    """Return the decision that sends a copy, made of the one that would replace the message."""
    values = sent.values | {"copies": saga.copies + 1}
    return replace(sent, values=values, raise_epoch=False, note=Event.SENT_ONCE_MORE)
