"""What an entry of a saga's history says."""

from enum import StrEnum

__all__ = ["Event"]


class Event(StrEnum):
    """The event of one history entry.

    The names in capitals are the statuses of sagas and steps: the entry marks the moment that the
    saga, or the step that the entry names, reached this status.
    """

    STARTED = "STARTED"
    """The saga was started."""
    IN_PROGRESS = "IN_PROGRESS"
    """The saga's first step was claimed, or an operator moved a parked saga forward again."""
    COMPLETED = "COMPLETED"
    """The saga ended: every step is settled."""
    COMPENSATING = "COMPENSATING"
    """The saga turned back, or a worker claimed the compensation of a step."""
    COMPENSATED = "COMPENSATED"
    """The saga ended with everything undone, or one step was undone."""
    FAILED = "FAILED"
    """The saga was parked, or a step failed and certainly had no effect."""
    PENDING = "PENDING"
    """The participant postponed the action, or an operator made a failed one start over."""
    RUNNING = "RUNNING"
    """A worker claimed the action of a step."""
    SUCCESS = "SUCCESS"
    """The action of a step succeeded."""
    UNKNOWN = "UNKNOWN"
    """An attempt ended without a certain outcome: the action may have happened."""
    SKIPPED = "SKIPPED"
    """The step is left out: its condition did not hold, or an operator skipped it."""
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    """The compensation of a step failed for good."""

    SENT = "sent"
    """The sweep published a message that had not been published before."""
    SENT_AGAIN = "sent again"
    """The sweep replaced a lost message, with a new epoch."""
    SENT_ONCE_MORE = "sent once more"
    """The sweep sent a copy of a message of which nothing was known for long; the epoch stays."""
    TAKEN_OVER = "taken over"
    """An attempt was lost with its worker or exceeded its timeout; a new epoch fences it."""
    KEEPS_FAILING = "keeps failing"
    """Half of the attempts of a long retry policy have failed; an alert was raised."""
    BLOCKED = "blocked"
    """The saga cannot go on without a deploy or a repair; an alert was raised."""
    DEADLINE_PASSED = "deadline passed"
    """The saga did not end within its deadline."""
    CANCEL_REQUESTED = "cancel requested"
    """An operator cancelled the saga while an attempt was running; it turns back afterwards."""
    CANCELLED = "cancelled"
    """An operator cancelled the saga, which turned back at once."""
    RETRIED = "retried"
    """An operator made a parked saga try its failed steps again."""
    SKIPPED_BY_OPERATOR = "skipped by operator"
    """An operator took care of a failed step of a parked saga."""
    RESOLVED = "resolved"
    """An operator ended a parked saga."""
