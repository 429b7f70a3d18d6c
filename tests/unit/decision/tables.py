"""The whole decision as tables: how a saga stands, how its step stands, and what happens.

The saga has the steps a, b and c, each with a compensation. Step a has succeeded, step b is as the
row says, step c was never claimed; a parked saga is stuck as PARKED says. A cell's word is
explained in cells.py; a dot is a state that cannot be.
"""

from typing import Any

from sagas.states import Operation, StepStatus
from tests.support.states import ACTION, COMPENSATION, held, made

__all__ = ["PARKED", "STEPS", "TABLES"]

STEPS: dict[str, dict[str, Any]] = {
    "pending": made(StepStatus.PENDING),
    "running": held(ACTION),
    "success": made(StepStatus.SUCCESS),
    "failed": made(StepStatus.FAILED),
    "unknown": made(StepStatus.UNKNOWN, attempts=2, doubtful=True),
    "unknown, retried": made(StepStatus.UNKNOWN, waits=True, doubtful=True),
    "skipped": made(StepStatus.SKIPPED),
    "undoing": held(COMPENSATION),
    "undoing, retried": made(StepStatus.COMPENSATING, waits=True),
    "undone": made(StepStatus.COMPENSATED),
    "undo failed": made(StepStatus.COMPENSATION_FAILED, attempts=2),
}

_STUCK_AT_A = (COMPENSATION, "a", {"a": made(StepStatus.COMPENSATION_FAILED)})
#: In which direction and where a saga is parked whose step b is so, and what else is so then.
PARKED: dict[str, tuple[Operation, str, dict[str, dict[str, Any]]]] = {
    "pending": _STUCK_AT_A,
    "success": (ACTION, "c", {"c": made(StepStatus.FAILED)}),
    "failed": (ACTION, "b", {}),
    "unknown": (ACTION, "b", {}),
    "skipped": _STUCK_AT_A,
    "undone": _STUCK_AT_A,
    "undo failed": (COMPENSATION, "b", {"a": made(StepStatus.COMPENSATED)}),
}

#: By what happens; one line to each state of step b, one column to each of the saga.
TABLES = {
    # A step that has failed for good waits for the turn-back: no message gives it an attempt.
    "claim an action": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | begins  | runs        | void         | void      | void        | void
running          | ·       | void        | ·            | ·         | ·           | ·
success          | ·       | done        | void         | void      | void        | void
failed           | ·       | void        | void         | void      | void        | void
unknown          | ·       | void        | void         | void      | void        | void
unknown, retried | ·       | repeats     | void         | ·         | ·           | ·
skipped          | done    | done        | void         | void      | void        | void
undoing          | ·       | ·           | void         | ·         | ·           | ·
undoing, retried | ·       | ·           | void         | ·         | ·           | ·
undone           | ·       | ·           | void         | void      | void        | void
undo failed      | ·       | ·           | void         | void      | void        | void
""",
    "claim a compensation": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | void    | void        | void         | void      | void        | void
running          | ·       | void        | ·            | ·         | ·           | ·
success          | ·       | void        | undoes       | void      | void        | void
failed           | ·       | void        | void         | void      | void        | void
unknown          | ·       | void        | undoes       | void      | void        | void
unknown, retried | ·       | void        | undoes       | ·         | ·           | ·
skipped          | void    | void        | void         | void      | void        | void
undoing          | ·       | ·           | void         | ·         | ·           | ·
undoing, retried | ·       | ·           | undoes again | ·         | ·           | ·
undone           | ·       | ·           | done         | void      | void        | void
undo failed      | ·       | ·           | done         | void      | void        | void
""",
    # The end that the step's holder tells, in the direction in which it holds it.
    "conclude: succeeded": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | goes on     | ·            | ·         | ·           | ·
success          | ·       | known       | known        | it ended  | it ended    | it ended
failed           | ·       | known       | known        | it ended  | it ended    | it ended
unknown          | ·       | known       | known        | it ended  | it ended    | it ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | undone       | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | it ended  | it ended    | it ended
undo failed      | ·       | ·           | known        | it ended  | it ended    | it ended
""",
    "conclude: refused": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | refused     | ·            | ·         | ·           | ·
success          | ·       | known       | known        | it ended  | it ended    | it ended
failed           | ·       | known       | known        | it ended  | it ended    | it ended
unknown          | ·       | known       | known        | it ended  | it ended    | it ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | left         | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | it ended  | it ended    | it ended
undo failed      | ·       | ·           | known        | it ended  | it ended    | it ended
""",
    "conclude: errored": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | again       | ·            | ·         | ·           | ·
success          | ·       | known       | known        | it ended  | it ended    | it ended
failed           | ·       | known       | known        | it ended  | it ended    | it ended
unknown          | ·       | known       | known        | it ended  | it ended    | it ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | undo again   | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | it ended  | it ended    | it ended
undo failed      | ·       | ·           | known        | it ended  | it ended    | it ended
""",
    # Whoever holds the step is gone, and the message that is waited for is lost.
    "move on, all is lost": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | send bc | send bc     | undo a       | rest      | rest        | rest
running          | ·       | retry       | ·            | ·         | ·           | ·
success          | ·       | send c      | undo ba      | rest      | rest        | rest
failed           | ·       | turn to a   | undo a       | rest      | rest        | rest
unknown          | ·       | turn to ba  | undo ba      | rest      | rest        | rest
unknown, retried | ·       | look later  | undo ba      | ·         | ·           | ·
skipped          | send c  | send c      | undo a       | rest      | rest        | rest
undoing          | ·       | ·           | retry undo   | ·         | ·           | ·
undoing, retried | ·       | ·           | look later   | ·         | ·           | ·
undone           | ·       | ·           | undo a       | rest      | rest        | rest
undo failed      | ·       | ·           | undo a       | rest      | rest        | rest
""",
    # Whoever holds the step lives, and the message may still come.
    "move on, all is well": """
                 | STARTED    | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | look later | look later  | look later   | rest      | rest        | rest
running          | ·          | look later  | ·            | ·         | ·           | ·
success          | ·          | look later  | look later   | rest      | rest        | rest
failed           | ·          | turn to a   | look later   | rest      | rest        | rest
unknown          | ·          | turn to ba  | look later   | rest      | rest        | rest
unknown, retried | ·          | look later  | look later   | ·         | ·           | ·
skipped          | look later | look later  | look later   | rest      | rest        | rest
undoing          | ·          | ·           | look later   | ·         | ·           | ·
undoing, retried | ·          | ·           | look later   | ·         | ·           | ·
undone           | ·          | ·           | look later   | rest      | rest        | rest
undo failed      | ·          | ·           | look later   | rest      | rest        | rest
""",
    "cancel": """
                 | STARTED   | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | back to a | back to a   | so already   | declined  | so already  | declined
running          | ·         | wait        | ·            | ·         | ·           | ·
success          | ·         | back to ba  | so already   | declined  | so already  | declined
failed           | ·         | back to a   | so already   | declined  | so already  | declined
unknown          | ·         | back to ba  | so already   | declined  | so already  | declined
unknown, retried | ·         | back to ba  | so already   | ·         | ·           | ·
skipped          | back to a | back to a   | so already   | declined  | so already  | declined
undoing          | ·         | ·           | so already   | ·         | ·           | ·
undoing, retried | ·         | ·           | so already   | ·         | ·           | ·
undone           | ·         | ·           | so already   | declined  | so already  | declined
undo failed      | ·         | ·           | so already   | declined  | so already  | declined
""",
    "retry": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | try undo a
running          | ·        | declined    | ·            | ·         | ·           | ·
success          | ·        | declined    | declined     | declined  | declined    | try c
failed           | ·        | declined    | declined     | declined  | declined    | try bc
unknown          | ·        | declined    | declined     | declined  | declined    | ask bc
unknown, retried | ·        | declined    | declined     | ·         | ·           | ·
skipped          | declined | declined    | declined     | declined  | declined    | try undo a
undoing          | ·        | ·           | declined     | ·         | ·           | ·
undoing, retried | ·        | ·           | declined     | ·         | ·           | ·
undone           | ·        | ·           | declined     | declined  | declined    | try undo a
undo failed      | ·        | ·           | declined     | declined  | declined    | try undo b
""",
    "skip": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | declined
running          | ·        | declined    | ·            | ·         | ·           | ·
success          | ·        | declined    | declined     | declined  | declined    | declined
failed           | ·        | declined    | declined     | declined  | declined    | on to c
unknown          | ·        | declined    | declined     | declined  | declined    | on to c
unknown, retried | ·        | declined    | declined     | ·         | ·           | ·
skipped          | declined | declined    | declined     | declined  | declined    | declined
undoing          | ·        | ·           | declined     | ·         | ·           | ·
undoing, retried | ·        | ·           | declined     | ·         | ·           | ·
undone           | ·        | ·           | declined     | declined  | declined    | declined
undo failed      | ·        | ·           | declined     | declined  | declined    | over
""",
    "resolve": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | compensated
running          | ·        | declined    | ·            | ·         | ·           | ·
success          | ·        | declined    | declined     | declined  | declined    | completed
failed           | ·        | declined    | declined     | declined  | declined    | completed
unknown          | ·        | declined    | declined     | declined  | declined    | completed
unknown, retried | ·        | declined    | declined     | ·         | ·           | ·
skipped          | declined | declined    | declined     | declined  | declined    | compensated
undoing          | ·        | ·           | declined     | ·         | ·           | ·
undoing, retried | ·        | ·           | declined     | ·         | ·           | ·
undone           | ·        | ·           | declined     | declined  | declined    | compensated
undo failed      | ·        | ·           | declined     | declined  | declined    | compensated
""",
    "resolve as completed": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | completed
running          | ·        | declined    | ·            | ·         | ·           | ·
success          | ·        | declined    | declined     | declined  | declined    | completed
failed           | ·        | declined    | declined     | declined  | declined    | completed
unknown          | ·        | declined    | declined     | declined  | declined    | completed
unknown, retried | ·        | declined    | declined     | ·         | ·           | ·
skipped          | declined | declined    | declined     | declined  | declined    | completed
undoing          | ·        | ·           | declined     | ·         | ·           | ·
undoing, retried | ·        | ·           | declined     | ·         | ·           | ·
undone           | ·        | ·           | declined     | declined  | declined    | completed
undo failed      | ·        | ·           | declined     | declined  | declined    | completed
""",
    "resolve as compensated": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | compensated
running          | ·        | declined    | ·            | ·         | ·           | ·
success          | ·        | declined    | declined     | declined  | declined    | compensated
failed           | ·        | declined    | declined     | declined  | declined    | compensated
unknown          | ·        | declined    | declined     | declined  | declined    | compensated
unknown, retried | ·        | declined    | declined     | ·         | ·           | ·
skipped          | declined | declined    | declined     | declined  | declined    | compensated
undoing          | ·        | ·           | declined     | ·         | ·           | ·
undoing, retried | ·        | ·           | declined     | ·         | ·           | ·
undone           | ·        | ·           | declined     | declined  | declined    | compensated
undo failed      | ·        | ·           | declined     | declined  | declined    | compensated
""",
}
