"""For tests: contexts for calling steps, and a checker of everything that is promised of sagas.

``action_context`` and ``compensation_context`` build the second argument of a step's functions.
``empty_record`` and ``reset_runtime`` give the next test a fresh start.

Call ``check(app, ledger)`` after a test that ran sagas, or after any fault that you caused. It
reads every saga in the record and compares it with what your participants say that they did. A
violation is a bug in the engine, in a participant or in the ledger; it names the rule and the saga.

==== ==============================================================================================
S1   a business row is committed if and only if a saga exists for its key; every effect has a saga
S2   sagas and steps take only the edges in ``sagas.states``; the history ends with the status in
     the record; nothing happens after the end
S3   one direction: no saga is completed and compensated; none goes forward after it turned back
S4   no action and no compensation is applied twice; no idempotency key is used for two effects, and
     no effect has two keys
S5   COMPLETED: every step succeeded and had its effect, or was skipped and had none; none is undone
S6   COMPENSATED: every effect is undone and no outcome is unknown; nothing is undone after the
     pivot, or while the pivot is in doubt; no saga is parked that could have turned back, or before
     every compensation was tried
S7   no action is applied after its compensation was accepted; nothing is undone that was never
     applied
S8   compensations run in reverse order
S9   no step runs before the earlier steps are settled, or more often than its plan allows; no
     effect happens without an attempt
S10  epochs only rise, with every take-over and every turn-back, up to the saga's own; no attempt
     that was taken over writes its outcome
S11  an unknown outcome never becomes "no effect" without the participant's answer
S12  each parking of a saga raises one alert, and each receiver gets it
S13  conserved quantities have not changed
S14  the plan of each saga is unchanged, and nothing ran that is not in it
S15  no text contains a canary
L1   every saga has ended, is parked, or waits for a timer in the future
L2   queues are empty
==== ==============================================================================================
"""

from sagas.testing.checker import check, violations, violations_of
from sagas.testing.contexts import action_context, compensation_context
from sagas.testing.fresh import empty_record, reset_runtime
from sagas.testing.model import Effect, Observed, Violation
from sagas.testing.options import Options, SagaOptions
from sagas.testing.reader import ended_rows, observe

__all__ = [
    "Effect",
    "Observed",
    "Options",
    "SagaOptions",
    "Violation",
    "action_context",
    "check",
    "compensation_context",
    "empty_record",
    "ended_rows",
    "observe",
    "reset_runtime",
    "violations",
    "violations_of",
]
