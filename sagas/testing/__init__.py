"""For tests: whether everything that is promised of sagas holds, said of a record and a ledger.

``check(app, ledger)`` after a test that ran sagas, or after whatever you did to your workers, reads
every saga of the record and compares it with what your participants say they did. A violation is
a mistake of the engine, of a participant, or of the ledger; it names the rule, and the saga.

==== ==============================================================================================
S1   a business row is committed if and only if there is a saga for its key; each effect has one
S2   only edges that ``sagas.states`` draws are walked, by whom they may be; the history ends where
     the record stands; nothing follows an end
S3   one direction: no saga completed and compensated; none goes forward once it has turned back
S4   no action and no compensation is applied twice; no idempotency key stands for two effects, and
     no effect comes with two
S5   COMPLETED: every step has succeeded, with its effect, or was skipped, without; none is undone
S6   COMPENSATED: every effect is undone, no outcome is unknown; nothing is undone past the pivot,
     or while it is in doubt; no saga is parked that could turn back, or before each undo was tried
S7   no action is applied after its compensation was accepted, and nothing is undone that was not
     applied
S8   compensations run in reverse order
S9   no step runs before the steps before it are settled, or more often than its plan allows; no
     effect comes without an attempt
S10  epochs only rise, with every take-over and every turn, and none is above the saga's; no attempt
     that is over writes its outcome
S11  an unknown outcome never becomes "no effect" without the participant's word
S12  there is one alert each time that a saga is parked, and each receiver got it
S13  what is to be conserved is as much as it was
S14  the plan of each saga is as it was written, and nothing ran that is not in it
S15  no canary shows up in a text
L1   every saga has ended, is parked, or waits for a timer in the future
L2   queues are empty
==== ==============================================================================================
"""

from sagas.testing.checker import check, violations, violations_of
from sagas.testing.evidence import Evidence, Terms
from sagas.testing.observed import Effect, Observed, Violation
from sagas.testing.record import ended_rows, observe

__all__ = [
    "Effect",
    "Evidence",
    "Observed",
    "Terms",
    "Violation",
    "check",
    "ended_rows",
    "observe",
    "violations",
    "violations_of",
]
