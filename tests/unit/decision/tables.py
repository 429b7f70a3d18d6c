"""The whole decision as tables: the state of a saga, the state of its step, and what happens.

The saga has the steps a, b and c, each with a compensation. Step a has succeeded, step b is in the
state of the row, and step c was never claimed. PARKED says where a parked saga is stuck. cells.py
explains the words. A dot marks a state that cannot occur.
"""

from typing import Any

from sagas.states import Operation, StepStatus
from tests.support.states import ACTION, COMPENSATION, held, made

__all__ = ["PARKED", "STEPS", "TABLES"]

STEPS: dict[str, dict[str, Any]] = {
    "pending": made(StepStatus.PENDING),
    "postponed": made(StepStatus.PENDING, waits=True) | {"attempt": 1, "postponements": 1},
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
#: By the state of step b: the direction and the step in which a parked saga is stuck, and the
#: states of the other steps.
PARKED: dict[str, tuple[Operation, str, dict[str, dict[str, Any]]]] = {
    "pending": _STUCK_AT_A,
    "postponed": _STUCK_AT_A,
    "success": (ACTION, "c", {"c": made(StepStatus.FAILED)}),
    "failed": (ACTION, "b", {}),
    "unknown": (ACTION, "b", {}),
    "skipped": _STUCK_AT_A,
    "undone": _STUCK_AT_A,
    "undo failed": (COMPENSATION, "b", {"a": made(StepStatus.COMPENSATED)}),
}

#: By event: one row for each state of step b, one column for each state of the saga.
TABLES = {
    # A step that has failed for good waits for the turn-back: no message gives it another attempt.
    "claim an action": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | begins  | runs        | void         | void      | void        | void
postponed        | ·       | repeats     | void         | void      | void        | void
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
postponed        | ·       | void        | void         | void      | void        | void
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
    # The end that the step's holder reports, in the direction in which it holds the step.
    "conclude: succeeded": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
postponed        | ·       | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | goes on     | ·            | ·         | ·           | ·
success          | ·       | known       | known        | ended     | ended       | ended
failed           | ·       | known       | known        | ended     | ended       | ended
unknown          | ·       | known       | known        | ended     | ended       | ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | undone       | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | ended     | ended       | ended
undo failed      | ·       | ·           | known        | ended     | ended       | ended
""",
    "conclude: refused": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
postponed        | ·       | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | refused     | ·            | ·         | ·           | ·
success          | ·       | known       | known        | ended     | ended       | ended
failed           | ·       | known       | known        | ended     | ended       | ended
unknown          | ·       | known       | known        | ended     | ended       | ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | left         | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | ended     | ended       | ended
undo failed      | ·       | ·           | known        | ended     | ended       | ended
""",
    "conclude: errored": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
postponed        | ·       | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | again       | ·            | ·         | ·           | ·
success          | ·       | known       | known        | ended     | ended       | ended
failed           | ·       | known       | known        | ended     | ended       | ended
unknown          | ·       | known       | known        | ended     | ended       | ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | undo again   | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | ended     | ended       | ended
undo failed      | ·       | ·           | known        | ended     | ended       | ended
""",
    "conclude: postponed": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
postponed        | ·       | fenced      | fenced       | fenced    | fenced      | fenced
running          | ·       | later       | ·            | ·         | ·           | ·
success          | ·       | known       | known        | ended     | ended       | ended
failed           | ·       | known       | known        | ended     | ended       | ended
unknown          | ·       | known       | known        | ended     | ended       | ended
unknown, retried | ·       | fenced      | fenced       | ·         | ·           | ·
skipped          | fenced  | fenced      | fenced       | fenced    | fenced      | fenced
undoing          | ·       | ·           | undo again   | ·         | ·           | ·
undoing, retried | ·       | ·           | fenced       | ·         | ·           | ·
undone           | ·       | ·           | known        | ended     | ended       | ended
undo failed      | ·       | ·           | known        | ended     | ended       | ended
""",
    # The holder of the step is gone, and the awaited message is lost.
    "advance: everything is lost": """
                 | STARTED | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | send bc | send bc     | undo a       | rest      | rest        | rest
postponed        | ·       | check later | undo a       | rest      | rest        | rest
running          | ·       | retry       | ·            | ·         | ·           | ·
success          | ·       | send c      | undo ba      | rest      | rest        | rest
failed           | ·       | turn to a   | undo a       | rest      | rest        | rest
unknown          | ·       | turn to ba  | undo ba      | rest      | rest        | rest
unknown, retried | ·       | check later | undo ba      | ·         | ·           | ·
skipped          | send c  | send c      | undo a       | rest      | rest        | rest
undoing          | ·       | ·           | retry undo   | ·         | ·           | ·
undoing, retried | ·       | ·           | check later  | ·         | ·           | ·
undone           | ·       | ·           | undo a       | rest      | rest        | rest
undo failed      | ·       | ·           | undo a       | rest      | rest        | rest
""",
    # The holder of the step is alive, and the message may still arrive.
    "advance: everything is well": """
                 | STARTED     | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | check later | check later | check later  | rest      | rest        | rest
postponed        | ·           | check later | check later  | rest      | rest        | rest
running          | ·           | check later | ·            | ·         | ·           | ·
success          | ·           | check later | check later  | rest      | rest        | rest
failed           | ·           | turn to a   | check later  | rest      | rest        | rest
unknown          | ·           | turn to ba  | check later  | rest      | rest        | rest
unknown, retried | ·           | check later | check later  | ·         | ·           | ·
skipped          | check later | check later | check later  | rest      | rest        | rest
undoing          | ·           | ·           | check later  | ·         | ·           | ·
undoing, retried | ·           | ·           | check later  | ·         | ·           | ·
undone           | ·           | ·           | check later  | rest      | rest        | rest
undo failed      | ·           | ·           | check later  | rest      | rest        | rest
""",
    "cancel": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | cancel a | cancel a    | already      | declined  | already     | declined
postponed        | ·        | cancel a    | already      | declined  | already     | declined
running          | ·        | wait        | ·            | ·         | ·           | ·
success          | ·        | cancel ba   | already      | declined  | already     | declined
failed           | ·        | cancel a    | already      | declined  | already     | declined
unknown          | ·        | cancel ba   | already      | declined  | already     | declined
unknown, retried | ·        | cancel ba   | already      | ·         | ·           | ·
skipped          | cancel a | cancel a    | already      | declined  | already     | declined
undoing          | ·        | ·           | already      | ·         | ·           | ·
undoing, retried | ·        | ·           | already      | ·         | ·           | ·
undone           | ·        | ·           | already      | declined  | already     | declined
undo failed      | ·        | ·           | already      | declined  | already     | declined
""",
    "retry": """
                 | STARTED  | IN_PROGRESS | COMPENSATING | COMPLETED | COMPENSATED | FAILED
pending          | declined | declined    | declined     | declined  | declined    | try undo a
postponed        | ·        | declined    | declined     | declined  | declined    | try undo a
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
postponed        | ·        | declined    | declined     | declined  | declined    | declined
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
postponed        | ·        | declined    | declined     | declined  | declined    | compensated
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
postponed        | ·        | declined    | declined     | declined  | declined    | completed
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
postponed        | ·        | declined    | declined     | declined  | declined    | compensated
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
