"""Mutants of what writes the record, of the barrier and of what reads messages."""

from tests.mutants.mutant import RACE, Mutant, on_sqlite

__all__ = ["RECORD"]

_STORE = on_sqlite("integration/test_store")
_DUE = on_sqlite("integration/test_due")
_ALERTS = on_sqlite("integration/test_alerts")
_LIVENESS = on_sqlite("integration/test_liveness")
_BARRIER = on_sqlite("integration/test_barrier")
_STUMBLES = on_sqlite("integration/test_stumbles")
_EVIDENCE = on_sqlite("integration/test_evidence")
_WAITS = on_sqlite(
    "regressions/test_a_worker_does_not_discard_kinds_it_does_not_know",
    "told_of or alert_of_each_kind",
)
_PUT_OFF = on_sqlite(
    "regressions/test_a_full_batch_of_unrescuable_sagas_does_not_starve_the_rest", "told_of_once"
)


def _store(name: str, old: str, new: str, tests: tuple[str, ...] = _STORE) -> Mutant:
    return Mutant(name, "sagas/record/store.py", old, new, tests)


def _due(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "sagas/record/due.py", old, new, _DUE)


def _stumbles(name: str, old: str, new: str, tests: tuple[str, ...] = _STUMBLES) -> Mutant:
    return Mutant(name, "sagas/record/failed_sweeps.py", old, new, tests)


RECORD = (
    _store("a saga is not locked", "_LOCK = _READ.with_for_update()", "_LOCK = _READ", RACE),
    _store(
        "a writer without the lock overwrites another epoch",
        "t.saga.c.epoch == before.epoch,",
        "t.saga.c.epoch > 0,",
    ),
    _store(
        "a writer without the lock overwrites another status",
        "t.saga.c.status == before.status,",
        "t.saga.c.status.is_not(None),",
    ),
    _store(
        "a step is overwritten by a writer without the lock",
        "t.step.c.status == state.step(change.name).status,",
        "t.step.c.status.is_not(None),",
    ),
    _store("a transition leaves no history", "connection.execute(insert(t.history), rows)", "pass"),
    _store(
        "a parked saga tells nobody",
        'if SagaStatus.FAILED in decision.path or decision.values.get("blocked"):',
        'if decision.values.get("blocked"):',
    ),
    _store(
        "a saga that waits tells nobody",
        'if SagaStatus.FAILED in decision.path or decision.values.get("blocked"):',
        "if SagaStatus.FAILED in decision.path:",
        _WAITS,
    ),
    _store(
        "an execution holds another one's step",
        "saga.step(step).held and saga.step(step).claim == token",
        "saga.step(step).held",
    ),
    # Each of the two covers for the other at a take-over.
    _store(
        "an execution that has ended holds its step",
        """if saga is None or saga.epoch != epoch:
            return False
        return saga.step(step).held and saga.step(step).claim == token""",
        """if saga is None:
            return False
        return saga.step(step).claim == token""",
    ),
    _store(
        "nobody looks when a deadline passes: it is not written",
        "progressed(state, before_deadline(state, decide(state)))",
        "progressed(state, decide(state))",
    ),
    _store(
        "a wait that is over is not written",
        "progressed(state, before_deadline(state, decide(state)))",
        "before_deadline(state, decide(state))",
        _WAITS,
    ),
    Mutant(
        "an edge that is not drawn is taken",
        "sagas/decision/transition.py",
        "if following not in SAGA_EDGES[status]:",
        "if following not in SAGA_EDGES:",
        _STORE,
    ),
    Mutant(
        "a step takes an edge that is not drawn",
        "sagas/decision/transition.py",
        "if change.status not in STEP_EDGES[before]:",
        "if change.status not in STEP_EDGES:",
        _STORE,
    ),
    Mutant(
        "another input is taken for the same saga",
        "sagas/record/starts.py",
        "and not new.same_input(row.input, new.input):",
        "and not new.key:",
        on_sqlite("integration/test_starts", "another_input"),
    ),
    Mutant(
        "a start whose reply was lost begins the history twice",
        "sagas/record/starts.py",
        "return bool(row.id == new.id and not row.begun)",
        "return bool(row.id == new.id)",
        (
            "tests/races/test_starts.py",
            "-k",
            "read-committed and repeated",
        ),
    ),
    Mutant(
        "half of a batch of sagas is started",
        "sagas/record/starts.py",
        "with _savepoint(connection) if len(sagas) > 1 else nullcontext():",
        "with nullcontext():",
        on_sqlite("integration/test_start_many", "conflict"),
    ),
    Mutant(
        "a delayed saga is sent at once",
        "sagas/record/starts.py",
        '"sent_at": None if delay_s else now(),',
        '"sent_at": now(),',
        on_sqlite("integration/test_start_many", "delayed"),
    ),
    Mutant(
        "a saga is started on another database than its order",
        "sagas/record/starts.py",
        "if found is None or found != expected:",
        "if found is None:",
        on_sqlite("integration/test_starts", "another_database"),
    ),
    _stumbles(
        "failed_sweeps are not counted", "int(saga.failed_sweeps) + 1", "int(saga.failed_sweeps)"
    ),
    _stumbles(
        "people are told at each count_failed_sweep",
        "if failed_sweeps == FAILED_SWEEPS_TO_ALERT:",
        "if failed_sweeps >= FAILED_SWEEPS_TO_ALERT:",
    ),
    _stumbles(
        "a saga that has ended failed_sweeps",
        "t.saga.c.id == saga_id, t.saga.c.due_at.is_not(None)",
        "t.saga.c.id == saga_id",
    ),
    _stumbles(
        "a saga that cannot be moved on is tried as often as ever",
        "timing.lease_s * 2.0 ** min(saga.failed_sweeps, 20)",
        "timing.lease_s",
        _PUT_OFF,
    ),
    _due(
        "two sweeps take one saga",
        ".values(due_at=after_now(reservation_s))\n        connection.execute(held)",
        ".values(due_at=after_now(0))\n        connection.execute(held)",
    ),
    _due(
        "those that nobody can help stand before the rest",
        "lane = t.saga.c.failed_sweeps > 0 if stumbled else t.saga.c.failed_sweeps == 0",
        "lane = t.saga.c.failed_sweeps >= 0",
    ),
    _due(
        "a crowd that is overdue starves the newest",
        "t.saga.c.due_at.desc() if newest else t.saga.c.due_at",
        "t.saga.c.due_at",
    ),
    _due(
        "a message of an older epoch puts a saga off",
        "tuple_(t.saga.c.id, t.saga.c.epoch).in_(messages)",
        "t.saga.c.id.in_([saga_id for saga_id, _ in messages])",
    ),
    _due(
        "a message puts off a saga that waits for none",
        "            t.saga.c.sent_at.is_not(None),\n",
        "",
    ),
    _due(
        "a message in somebody's hands keeps a deadline from passing",
        "or_(t.saga.c.deadline_at.is_(None), t.saga.c.deadline_at > after_now(reservation_s)),",
        "or_(t.saga.c.deadline_at.is_(None), t.saga.c.deadline_at.is_not(None)),",
    ),
    _due(
        "what an older message did not reach is noted of the newer",
        "this = (t.saga.c.id == saga.id, t.saga.c.epoch == saga.epoch, "
        "t.saga.c.sent_at == saga.sent_at)",
        "this = (t.saga.c.id == saga.id,)",
    ),
    Mutant(
        "an alert is two workers' at a time",
        "sagas/record/alerts.py",
        "values(due_at=after_now(reservation_s))",
        "values(due_at=after_now(0))",
        _ALERTS,
    ),
    Mutant(
        "a saga that waits cannot be parked: its alerts are of one kind",
        "sagas/record/alerts.py",
        '"kind": alert.event.partition(".")[2],',
        '"kind": "parked",',
        _WAITS,
    ),
    Mutant(
        "who was told of an alert is forgotten",
        "sagas/record/alerts.py",
        "pending.delivered_to | set(to)",
        "set(to)",
        _ALERTS,
    ),
    Mutant(
        "a null compensation leaves no tombstone",
        "sagas/barrier.py",
        "nothing_to_undo = undoing and _take(connection, row, Operation.ACTION, operation)",
        "nothing_to_undo = False",
        _BARRIER,
    ),
    Mutant(
        "a late action takes a tombstone for its own row",
        "sagas/barrier.py",
        "if earlier.made_by != operation:",
        "if earlier.made_by is None:",
        _BARRIER,
    ),
    Mutant(
        "an effect happens twice",
        "sagas/barrier.py",
        "if not _take(connection, row, operation, operation):",
        "if _take(connection, row, operation, operation) is None:",
        _BARRIER,
    ),
    Mutant(
        "the silent count as alive",
        "sagas/record/workers.py",
        "fresh = t.worker.c.heartbeat_at >= before_now(lease_s)",
        "fresh = t.worker.c.heartbeat_at >= before_now(lease_s * 1000)",
        _LIVENESS,
    ),
    Mutant(
        "a worker that came back is buried",
        "sagas/record/workers.py",
        "delete(t.worker).where(t.worker.c.id == worker_id, *stale)",
        "delete(t.worker).where(t.worker.c.id == worker_id)",
        _LIVENESS,
    ),
    Mutant(
        "what a dead worker held waits for its next look",
        "sagas/record/workers.py",
        ".values(due_at=now())",
        ".values(due_at=t.saga.c.due_at)",
        _LIVENESS,
    ),
    Mutant(
        "a broker that is away is taken for an empty one",
        "sagas/duties/lost_messages.py",
        "if length is None:\n            return False",
        "if length is None:\n            return True",
        _EVIDENCE,
    ),
    Mutant(
        "a long queue is taken for a loss",
        "sagas/duties/lost_messages.py",
        "return length == 0 or moved_to >",
        "return length >= 0 or moved_to >",
        _EVIDENCE,
    ),
    Mutant(
        "a forged time is taken for evidence",
        "sagas/duties/lost_messages.py",
        "if moved_to > (saga.now + self._margin).timestamp():",
        "if moved_to < 0:",
        _EVIDENCE,
    ),
    Mutant(
        "the buried are taken for living",
        "sagas/duties/sweep.py",
        "return step.attended",
        "return step.worker is not None",
        on_sqlite("regressions/test_bugs_of_recovery_that_others_shipped", "buried"),
    ),
    Mutant(
        "those whom an outage has silenced are taken for dead",
        "sagas/duties/sweep.py",
        "return step.attended",
        "return step.worker is None",
        on_sqlite("regressions/test_bugs_of_recovery_that_others_shipped", "silenced"),
    ),
    Mutant(
        "a slow receiver's alerts are delivered by two",
        "sagas/duties/alerts.py",
        "if time.monotonic() > until:",
        "if time.monotonic() < 0:",
        on_sqlite("integration/test_alerts", "slow"),
    ),
    Mutant(
        "whoever forks holds what others need while it waits",
        "sagas/forking.py",
        "if not guard.acquire(wait=guard is awaited):",
        "if not guard.acquire(wait=True):",
        ("tests/unit/test_forking.py",),
    ),
    Mutant(
        "a forged time limit breaks an attempt",
        "sagas/runtime/messages.py",
        "return any(limit is not None and not _is_at_least(shortest, limit) for limit in given)",
        "return False",
        on_sqlite("integration/test_hostile_headers", "time_limit"),
    ),
    Mutant(
        "a forged epoch stops the sweep",
        "sagas/runtime/messages.py",
        "not 1 <= epoch <= LARGEST_EPOCH",
        "not 1 <= epoch",
        on_sqlite("integration/test_hostile_headers", "stop_its_sweep"),
    ),
)
