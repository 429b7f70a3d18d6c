"""Every write to a saga: lock it, let the decision be made, write it with its history, commit.

All writers of one saga queue up at its row, so a decision always sees everything that was decided
before it. Each UPDATE repeats what it expects (status, epoch) in its WHERE clause: a guard against
a writer that would come without the lock.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from sagas.decision import (
    Decision,
    Entry,
    SagaState,
    StepChange,
    StepState,
    before_deadline,
    entries,
    progressed,
    written,
)
from sagas.plan import Plan
from sagas.record import alerts
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.plans import Plans
from sagas.sql import now
from sagas.states import SagaStatus, StepStatus

__all__ = ["Store", "Transition"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision that is committed: what the saga was, what was decided, what it is now.

    ``input`` and ``outputs`` are JSON, as they were before the decision.
    """

    before: SagaState
    decision: Decision
    after: SagaState
    input: str
    outputs: Mapping[str, str | None]

    @property
    def status(self) -> SagaStatus:
        """The saga's status now."""
        return self.after.status

    @property
    def epoch(self) -> int:
        """The saga's epoch now."""
        return self.after.epoch


class Store:
    """The one door through which a saga's rows are written."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.plans = Plans()

    def transition(
        self, saga_id: UUID, decide: Callable[[SagaState], Decision], *, actor: str
    ) -> Transition | None:
        """Lock the saga, ask *decide*, write what it says and commit.

        Returns None where there is no such saga. *actor* goes into the history. Safe to repeat
        after a commit whose reply was lost, as long as *decide* recognises its own work.
        """

        def work(connection: Connection) -> Transition | None:
            row = connection.execute(_LOCK, {"saga_id": saga_id}).one_or_none()
            if row is None:
                return None
            steps = connection.execute(_STEPS, {"saga_id": saga_id}).all()
            state = _state(row, steps, self.plans.get(connection, row.plan))
            decision = progressed(state, before_deadline(state, decide(state)))
            after = _apply(connection, state, decision, actor)
            outputs = {step.name: step.output for step in steps}
            return Transition(state, decision, after, row.input, outputs)

        return self.database.write(work)

    def peek(self, saga_id: UUID) -> SagaState | None:
        """Return the saga as it is, without locking it; it may have changed a moment later."""

        def work(connection: Connection) -> SagaState | None:
            row = connection.execute(_READ, {"saga_id": saga_id}).one_or_none()
            if row is None:
                return None
            steps = connection.execute(_STEPS, {"saga_id": saga_id}).all()
            return _state(row, steps, self.plans.get(connection, row.plan))

        return self.database.read(work)

    def holds(self, saga_id: UUID, step: str, token: str, epoch: int) -> bool:
        """Tell whether the execution *token* still holds the step at this epoch."""
        saga = self.peek(saga_id)
        if saga is None or saga.epoch != epoch:
            return False
        return saga.step(step).held and saga.step(step).claim == token


_READ = select(t.saga, now().label("now")).where(t.saga.c.id == bindparam("saga_id"))
_LOCK = _READ.with_for_update()
# Whether a worker is buried is read after the saga is locked: its burial made the saga due.
_STEPS = (
    select(t.step, or_(t.step.c.worker.is_(None), t.worker.c.id.is_not(None)).label("attended"))
    .outerjoin(t.worker, t.worker.c.id == t.step.c.worker)
    .where(t.step.c.saga_id == bindparam("saga_id"))
)


def _state(row: Row[Any], steps: Iterable[Row[Any]], plan: Plan) -> SagaState:
    return SagaState(
        id=row.id,
        name=row.name,
        key=row.key,
        status=SagaStatus(row.status),
        epoch=row.epoch,
        plan=plan,
        steps={step.name: _step_state(step) for step in steps},
        now=row.now,
        looks=row.looks,
        sent_at=row.sent_at,
        failure=row.failure,
        parked=row.parked,
        deadline_at=row.deadline_at,
        resends=row.resends,
        stumbles=row.stumbles,
        waiting=row.waiting,
    )


def _step_state(row: Row[Any]) -> StepState:
    return StepState(
        name=row.name,
        status=StepStatus(row.status),
        attempt=row.attempt,
        compensation_attempt=row.compensation_attempt,
        doubtful=row.doubtful,
        claim=row.claim,
        worker=row.worker,
        task_id=row.task_id,
        probe_attempt=row.probe_attempt,
        retry_at=row.retry_at,
        expires_at=row.expires_at,
        attended=bool(row.attended),
    )


def _apply(connection: Connection, before: SagaState, decision: Decision, actor: str) -> SagaState:
    after = written(before, decision)
    _update_saga(connection, before, after, decision)
    for change in decision.steps:
        _write_step(connection, before, change)
    if rows := [_history_row(before, entry, actor) for entry in entries(before, decision)]:
        connection.execute(insert(t.history), rows)
    if SagaStatus.FAILED in decision.path or decision.values.get("waiting"):
        alerts.raise_alert(connection, before, decision)
    return after


def _update_saga(
    connection: Connection, before: SagaState, after: SagaState, decision: Decision
) -> None:
    values = dict(decision.values)
    if decision.path:
        values["status"] = after.status
    if decision.raise_epoch:
        values["epoch"] = after.epoch
    if not values:
        return
    expected = (
        t.saga.c.id == before.id,
        t.saga.c.epoch == before.epoch,
        t.saga.c.status == before.status,
    )
    done = connection.execute(update(t.saga).where(*expected).values(values))
    _exactly_one(done.rowcount, before)


def _write_step(connection: Connection, state: SagaState, change: StepChange) -> None:
    values = {**change.values, "status": change.status}
    if change.name not in state.steps:
        connection.execute(insert(t.step).values(saga_id=state.id, name=change.name, **values))
        return
    expected = (
        t.step.c.saga_id == state.id,
        t.step.c.name == change.name,
        t.step.c.status == state.step(change.name).status,
    )
    _exactly_one(connection.execute(update(t.step).where(*expected).values(values)).rowcount, state)


def _exactly_one(matched: int, state: SagaState) -> None:
    if matched != 1:
        raise AssertionError(f"Saga {state.id} was changed by a writer without its lock.")


def _history_row(state: SagaState, entry: Entry, actor: str) -> dict[str, Any]:
    return {**asdict(entry), "saga_id": state.id, "actor": actor}
