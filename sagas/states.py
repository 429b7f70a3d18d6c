"""The states of a saga and of its steps, and every edge between them.

The record checks each write against these tables and refuses an edge that they do not list.
"""

from enum import StrEnum

__all__ = [
    "ENDED",
    "FORWARD",
    "SAGA_EDGES",
    "STEP_EDGES",
    "Operation",
    "Outcome",
    "Reuse",
    "SagaStatus",
    "StepStatus",
]


class SagaStatus(StrEnum):
    """The status of a saga."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    FAILED = "FAILED"


class StepStatus(StrEnum):
    """The status of one step of a saga; a step without a row is PENDING."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"


class Outcome(StrEnum):
    """What is known about an action: it committed, it had no effect, or it may have happened."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class Operation(StrEnum):
    """The two directions of a step."""

    ACTION = "action"
    COMPENSATION = "compensation"


class Reuse(StrEnum):
    """When a business key whose saga has ended may be used for a new one."""

    NEVER = "never"
    """The key always means the saga that has it."""
    AFTER_COMPENSATED = "after compensated"
    """A new saga takes the key from one that has ended COMPENSATED."""


#: The statuses of a saga that still moves forward.
FORWARD = frozenset({SagaStatus.STARTED, SagaStatus.IN_PROGRESS})

#: The statuses of a saga that no longer moves by itself. A FAILED saga is parked: only a person
#: moves it on.
ENDED = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})

SAGA_EDGES: dict[SagaStatus, frozenset[SagaStatus]] = {
    SagaStatus.STARTED: frozenset(
        {
            SagaStatus.IN_PROGRESS,  # the first step was claimed
            SagaStatus.COMPLETED,  # every step was skipped
            SagaStatus.COMPENSATING,  # cancelled, or past its deadline, before anything ran
        }
    ),
    SagaStatus.IN_PROGRESS: frozenset(
        {
            SagaStatus.COMPLETED,  # the last step is settled
            SagaStatus.COMPENSATING,  # a step failed for good, or a cancel or the deadline came
            SagaStatus.FAILED,  # a step failed for good, and there is no way back: parked
        }
    ),
    SagaStatus.COMPENSATING: frozenset(
        {
            SagaStatus.COMPENSATED,  # everything that ran, or may have run, is undone
            SagaStatus.FAILED,  # something could not be undone: parked
        }
    ),
    SagaStatus.COMPLETED: frozenset(),
    SagaStatus.COMPENSATED: frozenset(),
    SagaStatus.FAILED: frozenset(  # by a person only
        {
            SagaStatus.IN_PROGRESS,  # retried or skipped on the way forward
            SagaStatus.COMPENSATING,  # retried on the way back
            SagaStatus.COMPLETED,  # resolved
            SagaStatus.COMPENSATED,  # resolved, or the last thing left was skipped
        }
    ),
}

STEP_EDGES: dict[StepStatus, frozenset[StepStatus]] = {
    StepStatus.PENDING: frozenset(
        {
            StepStatus.RUNNING,  # claimed by a worker
            StepStatus.SKIPPED,  # its condition did not hold for this input
        }
    ),
    StepStatus.RUNNING: frozenset(
        {
            StepStatus.SUCCESS,  # the action returned
            StepStatus.FAILED,  # the action refused: certainly no effect
            StepStatus.UNKNOWN,  # it raised, timed out, or its worker was lost
            StepStatus.PENDING,  # the participant postponed it: certainly no effect
        }
    ),
    StepStatus.UNKNOWN: frozenset(
        {
            StepStatus.RUNNING,  # the next attempt was claimed
            StepStatus.COMPENSATING,  # the compensation was claimed
            StepStatus.UNKNOWN,  # a person retried it
            StepStatus.SKIPPED,  # a person skipped it
        }
    ),
    StepStatus.SUCCESS: frozenset(
        {
            StepStatus.COMPENSATING,  # the compensation was claimed
            StepStatus.SKIPPED,  # it has no compensation, and a person skipped it
        }
    ),
    StepStatus.COMPENSATING: frozenset(
        {
            StepStatus.COMPENSATING,  # an attempt ended badly, and the next was claimed
            StepStatus.COMPENSATED,  # the compensation returned
            StepStatus.COMPENSATION_FAILED,  # it failed for good
        }
    ),
    StepStatus.FAILED: frozenset(
        {
            StepStatus.PENDING,  # a person retried it
            StepStatus.SKIPPED,  # a person skipped it
        }
    ),
    StepStatus.SKIPPED: frozenset(),
    StepStatus.COMPENSATED: frozenset(),
    StepStatus.COMPENSATION_FAILED: frozenset(
        {
            StepStatus.COMPENSATING,  # a person retried it
            StepStatus.SKIPPED,  # a person skipped it, having undone it by hand
        }
    ),
}
