"""Mutants of what surrounds the record: the barrier, messages, forks, a worker's duties."""

from functools import partial

from tests.mutants.mutant import Mutant, on_sqlite

__all__ = ["DUTIES"]

_barrier = partial(Mutant, tests=on_sqlite("integration/test_barrier"))
_evidence = partial(
    Mutant, tests=("tests/field/test_the_evidence_of_a_lost_message.py", "-k", "not worker")
)
_lost_messages = partial(Mutant, tests=on_sqlite("integration/test_lost_messages"))

DUTIES = (
    _barrier(
        "a null compensation leaves no tombstone",
        "once",
        "undoing and _take(connection, row, Operation.ACTION, operation)",
        "False",
    ),
    _barrier(
        "a late action takes a tombstone for its own row",
        "_earlier_result",
        "earlier.made_by != operation",
        "earlier.made_by is None",
    ),
    _barrier(
        "an effect happens twice",
        "once",
        "not _take(connection, row, operation, operation)",
        "_take(connection, row, operation, operation) is None",
    ),
    _lost_messages(
        "a broker that does not answer is taken for an empty one",
        "LostMessages.is_lost",
        "if length is None:\n    return False",
        "if length is None:\n    return True",
    ),
    _lost_messages(
        "a long queue is taken for a loss", "LostMessages.is_lost", "length == 0", "length >= 0"
    ),
    _lost_messages(
        "a forged time is taken for evidence",
        "LostMessages._has_passed",
        "moved_to > (saga.now + self._margin).timestamp()",
        "moved_to < 0",
    ),
    _evidence(
        "a message of another priority is taken for evidence",
        "LostMessages._has_passed",
        "lane.name",
        "lane.queue.name",
    ),
    _evidence(
        "what a worker holds behind a step that hangs is taken for lost",
        "LostMessages.is_lost",
        "lane is None or saga.sent_at is None or lane.queue.name in self._withheld",
        "lane is None or saga.sent_at is None",
    ),
    _evidence(
        "a worker that hangs vouches for its messages for ever",
        "InFlight.unstarted",
        "at > since and _is_due(request.request_dict.get('eta'), latest)",
        "_is_due(request.request_dict.get('eta'), latest)",
    ),
    _evidence(
        "a queue chosen at random is believed",
        "Messages.lane_of",
        "all(lane.name == first.name for lane in others)",
        "True",
    ),
    Mutant(
        "expired workers are taken for live ones",
        "InFlight.attends",
        "step.attended",
        "step.worker is not None",
        on_sqlite("regressions/test_bugs_of_recovery_that_others_shipped", "buried"),
    ),
    Mutant(
        "an errback puts off what an expired worker held",
        "turn_back",
        "step.attended",
        "True",
        on_sqlite("regressions/test_nothing_postpones_what_an_expired_worker_held", "errback"),
    ),
    Mutant(
        "a worker that reclaims puts off what an expired worker held",
        "Reclaim._take_over",
        "self._in_flight.attends(step, self._runtime.worker_id)",
        "True",
        on_sqlite("regressions/test_nothing_postpones_what_an_expired_worker_held", "reclaims"),
    ),
    Mutant(
        "workers that an outage has silenced are taken for dead",
        "InFlight.attends",
        "step.attended",
        "step.worker is None",
        on_sqlite("regressions/test_bugs_of_recovery_that_others_shipped", "silenced"),
    ),
    Mutant(
        "two workers deliver the alerts of a slow receiver",
        "Alerts.deliver_once",
        "time.monotonic() > until",
        "time.monotonic() < 0",
        on_sqlite("integration/test_alerts", "slow"),
    ),
    Mutant(
        "a waiting fork holds the locks that others need",
        "_acquire_all",
        "guard is awaited",
        "True",
        ("tests/unit/test_forking.py",),
    ),
    Mutant(
        "a forged time limit breaks an attempt",
        "cut_short",
        "any(limit is not None and not _is_at_least(shortest, limit) for limit in given)",
        "False",
        on_sqlite("integration/test_hostile_headers", "time_limit"),
    ),
    Mutant(
        "a forged epoch stops a duty",
        "Link.read",
        "1 <= epoch <= LARGEST_EPOCH",
        "1 <= epoch",
        on_sqlite("integration/test_hostile_headers", "stops_none_of_its_duties"),
    ),
)
