"""Tells when a run is over: when nothing moves any more, not after a fixed wait."""

import time

from benchmarks.kills.broker import Broker
from benchmarks.kills.contenders import Contender
from benchmarks.kills.participant import Participant
from benchmarks.kills.place import VISIBILITY_TIMEOUT_S

__all__ = ["Quiet"]

#: If no row and no message has moved for this long, a chain is taken to have ended.
SILENCE_S = 5.0

#: The interval between two checks of the broker and the databases.
_CHECK_INTERVAL_S = 0.5


class Quiet:
    """Tells when nothing more is to be expected.

    With a record, that is when every saga has ended and no message is left that could still have an
    effect. Without one, it is when nothing has moved for a while, neither at the participant nor in
    the queue; as long as the broker still has messages, for longer than the visibility timeout.
    """

    def __init__(self, broker: Broker, participant: Participant, contender: Contender) -> None:
        self._broker = broker
        self._participant = participant
        self._contender = contender
        self._seen: object = None
        self._still_since = 0.0
        self._checked_at = 0.0

    def __call__(self) -> bool:
        """Check, at most twice a second; False in between."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_INTERVAL_S:
            return False
        self._checked_at = now
        self._broker.restore(self._contender.app)
        depth = self._broker.depth(self._contender.app)
        still_open = self._contender.open()
        if depth.empty and still_open == 0:
            return True
        seen = (self._participant.count(), depth, still_open)
        if seen != self._seen:
            self._seen, self._still_since = seen, now
        silence_s = SILENCE_S + (0 if depth.empty else VISIBILITY_TIMEOUT_S)
        return not still_open and now - self._still_since > silence_s
