"""Mutants of what writes the record: the store, starts, due sagas, workers, alerts."""

from functools import partial

from tests.mutants.mutant import RACE, Mutant, on_sqlite, unit

__all__ = ["RECORD"]

_BLOCKED = on_sqlite(
    "regressions/test_a_worker_does_not_discard_kinds_it_does_not_know",
    "told_of or alert_of_each_kind",
)
_POSTPONED = on_sqlite(
    "regressions/test_a_full_batch_of_unrescuable_sagas_does_not_starve_the_rest", "told_of_once"
)
_RACING_STARTS = ("tests/races/test_starts.py", "-k", "read-committed and repeated")

_store = partial(Mutant, tests=on_sqlite("integration/test_store"))
_due = partial(Mutant, tests=on_sqlite("integration/test_due"))
_alerts = partial(Mutant, tests=on_sqlite("integration/test_alerts"))
_workers = partial(Mutant, tests=on_sqlite("integration/test_workers"))
_predictions = partial(Mutant, tests=on_sqlite("integration/test_predictions"))
_turns = partial(Mutant, tests=unit("plain"))
_failed_sweeps = partial(Mutant, tests=on_sqlite("integration/test_failed_sweeps"))

_FOLD = "_with_progress(saga, _due_by_deadline(saga, decide(saga)))"
_BATCH = on_sqlite("integration/test_start_many", "conflict")

_STORE = (
    Mutant("a saga is not locked", "_LOCK", "_READ.with_for_update()", "_READ", RACE),
    _store(
        "a writer without the lock overwrites a newer epoch",
        "_update_saga",
        "t.saga.c.epoch == before.epoch",
        "t.saga.c.epoch > 0",
    ),
    _store(
        "a writer without the lock overwrites another status",
        "_update_saga",
        "t.saga.c.status == before.status",
        "t.saga.c.status.is_not(None)",
    ),
    _store(
        "a step is overwritten by a writer without the lock",
        "write_step",
        "t.step.c.status == state.step(change.name).status",
        "t.step.c.status.is_not(None)",
    ),
    _store(
        "a transition leaves no history",
        "write_history",
        "connection.execute(insert(t.history), rows)",
        "None",
    ),
    _store("the alert of a transition is not written", "write", "made.alert", "None"),
    _store(
        "an execution holds a step that another one claimed",
        "Store.holds",
        "saga.step(step).held and saga.step(step).claim == token",
        "saga.step(step).held",
    ),
    # At a take-over each of the two checks covers for the other.
    _store(
        "an execution that has ended holds its step",
        "Store.holds",
        "if saga is None or saga.epoch != epoch:\n    return False\n"
        "return saga.step(step).held and saga.step(step).claim == token",
        "if saga is None:\n    return False\nreturn saga.step(step).claim == token",
    ),
    _store(
        "no check is due when a deadline passes: it is not written",
        "transition",
        _FOLD,
        "_with_progress(saga, decide(saga))",
    ),
    Mutant(
        "a saga that is no longer blocked is recorded as blocked",
        "transition",
        _FOLD,
        "_due_by_deadline(saga, decide(saga))",
        _BLOCKED,
    ),
)

_PREDICTIONS = (
    _predictions(
        "a prediction is believed whatever the saga's turn is",
        "_EXPECTED",
        '("id", "turn", "epoch", "plan")',
        '("id", "epoch", "plan")',
    ),
    _predictions(
        "a prediction is believed at another epoch",
        "_EXPECTED",
        '("id", "turn", "epoch", "plan")',
        '("id", "turn", "plan")',
    ),
    _predictions(
        "a prediction is believed of another plan",
        "_EXPECTED",
        '("id", "turn", "epoch", "plan")',
        '("id", "turn", "epoch")',
    ),
    _predictions(
        "a message that was not sent leaves its step the turn",
        "note_unsent",
        "update(t.saga).where(*this).values(sent_at=None, turn=None)",
        "update(t.saga).where(*this).values(sent_at=None)",
    ),
    _predictions(
        "a failed sweep leaves the saga its turn",
        "count_failed_sweep",
        '{"failed_sweeps": failed_sweeps, "due_at": after_now(wait_s), "turn": None}',
        '{"failed_sweeps": failed_sweeps, "due_at": after_now(wait_s)}',
    ),
    _turns("a saga in trouble has a turn", "_is_troubled", "any(counted)", "False"),
    _turns(
        "a saga that is about to turn back has a turn",
        "_is_troubled",
        "(saga.failure, saga.parked, saga.blocked, saga.deadline_at)",
        "(saga.parked, saga.blocked, saga.deadline_at)",
    ),
    _turns(
        "a saga with a deadline has a turn",
        "_is_troubled",
        "(saga.failure, saga.parked, saga.blocked, saga.deadline_at)",
        "(saga.failure, saga.parked, saga.blocked)",
    ),
    _turns(
        "a step that was tried before has the turn",
        "_is_first_attempt",
        "(1, 0, 0, False)",
        "(1, 0, 0, step.doubtful)",
    ),
    _turns(
        "a later step that is skipped is taken for one that waits",
        "turn_of",
        "not _is_untouched_after(saga, name)",
        "False",
    ),
)

_STARTS = (
    Mutant(
        "another input is accepted for the same saga",
        "_refuse_conflicts",
        "not new.same_input(row.input, new.input)",
        "not new.key",
        on_sqlite("integration/test_starts", "another_input"),
    ),
    Mutant(
        "a start whose reply was lost begins the history twice",
        "_is_new",
        "row.id == new.id and not row.begun",
        "row.id == new.id",
        _RACING_STARTS,
    ),
    Mutant(
        "half of a batch of sagas is started",
        "all_or_none",
        "savepoint(connection)",
        '__import__("contextlib").nullcontext()',
        _BATCH,
    ),
    Mutant(
        "a delayed saga is sent at once",
        "_insert",
        "None if delay_s else now()",
        "now()",
        on_sqlite("integration/test_start_many", "delayed"),
    ),
    Mutant(
        "a start that is repeated takes the key from itself",
        "supersede",
        "row.status == SagaStatus.COMPENSATED and row.id not in started",
        "row.status == SagaStatus.COMPENSATED",
        on_sqlite("integration/test_reuse", "lost_reply"),
    ),
    Mutant(
        "a saga that is under way loses its key",
        "supersede",
        "row.status == SagaStatus.COMPENSATED and row.id not in started",
        "row.id not in started",
        on_sqlite("integration/test_reuse", "only_a_saga"),
    ),
    Mutant(
        "a superseded saga is found by its key",
        "saga_by_key",
        "t.saga.c.superseded == 0",
        "t.saga.c.superseded >= 0",
        on_sqlite("integration/test_reuse", "newest"),
    ),
    Mutant(
        "a saga is started in another database than its order",
        "_sees",
        "found is not None and found == place.id",
        "found is not None",
        on_sqlite("integration/test_starts", "another_database"),
    ),
)

_FAILED_SWEEPS = (
    _failed_sweeps(
        "failed sweeps are not counted",
        "count_failed_sweep",
        "int(saga.failed_sweeps) + 1",
        "int(saga.failed_sweeps)",
    ),
    _failed_sweeps(
        "people are told at each failed sweep",
        "count_failed_sweep",
        "failed_sweeps == FAILED_SWEEPS_TO_ALERT",
        "failed_sweeps >= FAILED_SWEEPS_TO_ALERT",
    ),
    _failed_sweeps(
        "a failed sweep is counted for a saga that has ended",
        "count_failed_sweep",
        "t.saga.c.due_at.is_not(None)",
        "t.saga.c.id.is_not(None)",
    ),
    Mutant(
        "a saga that cannot be advanced is swept as often as before",
        "count_failed_sweep",
        "timing.lease_s * 2.0 ** min(saga.failed_sweeps, 20)",
        "timing.lease_s",
        _POSTPONED,
    ),
)

_DUE = (
    _due("two sweeps reserve one saga", "reserve_due", "after_now(reservation_s)", "after_now(0)"),
    _due(
        "sagas whose sweeps fail stand in front of the others",
        "_pick",
        "t.saga.c.failed_sweeps > 0 if failing else t.saga.c.failed_sweeps == 0",
        "t.saga.c.failed_sweeps >= 0",
    ),
    _due(
        "a crowd of overdue sagas starves the newest",
        "_pick",
        "t.saga.c.due_at.desc() if newest else t.saga.c.due_at",
        "t.saga.c.due_at",
    ),
    _due(
        "a message of an older epoch puts a saga off",
        "extend",
        "tuple_(t.saga.c.id, t.saga.c.epoch).in_(some)",
        "t.saga.c.id.in_([saga_id for saga_id, _ in some])",
    ),
    _due(
        "a message puts off a saga that is not waiting for one",
        "extend",
        "t.saga.c.sent_at.is_not(None)",
        "t.saga.c.id.is_not(None)",
    ),
    _due(
        "a message that a worker has received keeps a deadline from passing",
        "extend",
        "t.saga.c.deadline_at > after_now(extension_s)",
        "t.saga.c.deadline_at.is_not(None)",
    ),
    _due(
        "an older message that was not sent marks the newer one as unsent",
        "note_unsent",
        "(t.saga.c.id == saga.id, t.saga.c.epoch == saga.epoch, t.saga.c.sent_at == saga.sent_at)",
        "(t.saga.c.id == saga.id,)",
    ),
)

_ALERTS = (
    _alerts(
        "two workers reserve one alert",
        "reserve_alerts",
        "after_now(reservation_s)",
        "after_now(0)",
    ),
    Mutant(
        "a blocked saga cannot be parked: its alerts are of one kind",
        "_row",
        'alert.event.partition(".")[2]',
        '"parked"',
        _BLOCKED,
    ),
    _alerts(
        "earlier receivers of an alert are forgotten",
        "note_delivery",
        "pending.delivered_to | set(to)",
        "set(to)",
    ),
)

_WORKERS = (
    _workers(
        "silent workers count as alive",
        "live_workers",
        "before_now(lease_s)",
        "before_now(lease_s * 1000)",
    ),
    _workers(
        "a worker that came back is expired",
        "expire",
        "delete(t.worker).where(t.worker.c.id == worker_id, *stale)",
        "delete(t.worker).where(t.worker.c.id == worker_id)",
    ),
    _workers(
        "a dead worker's saga waits for its next check",
        "expire",
        "due_at = now()",
        "due_at = t.saga.c.due_at",
    ),
)

RECORD = (*_STORE, *_PREDICTIONS, *_STARTS, *_FAILED_SWEEPS, *_DUE, *_ALERTS, *_WORKERS)
