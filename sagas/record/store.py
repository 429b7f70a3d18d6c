"""Every write to a saga: lock it, decide, write the decision with its history, commit.

All writers of one saga queue up at its row, so a decision always sees every decision before it.
Each UPDATE repeats what it expects (status, epoch) in its WHERE clause, as a guard against a writer
without the lock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from sagas.decision import (
    Decide,
    Entry,
    SagaState,
    StepChange,
    StepState,
    Transition,
    transition,
)
from sagas.plan import Plan
from sagas.record import alerts
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.plans import Plans
from sagas.sql import now
from sagas.states import SagaStatus, StepStatus

__all__ = ["Committed", "Store", "state_of"]


@dataclass(frozen=True, slots=True)
class Committed(Transition):
    """A transition that is committed.

    ``input`` and ``outputs`` are JSON as the record keeps it, from before the decision.
    """

    input: str = field(repr=False)
    outputs: Mapping[str, str | None] = field(repr=False)

    @property
    def status(self) -> SagaStatus:
        """The saga's status now."""
        return self.after.status

    @property
    def epoch(self) -> int:
        """The saga's epoch now."""
        return self.after.epoch


class Store:
    """The only place that writes the rows of a saga that has started."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.plans = Plans()

    def transition(self, saga_id: UUID, decide: Decide, *, actor: str) -> Committed | None:
        """Lock the saga, run the transition that *decide* asks for, write it and commit.

        Returns None where there is no such saga. *actor* goes into the history. It is safe to
        repeat after a commit whose reply was lost, as long as *decide* recognises its own work.
        """

        def work(connection: Connection) -> Committed | None:
            row = connection.execute(_LOCK, {"saga_id": saga_id}).one_or_none()
            if row is None:
                return None
            steps = connection.execute(_STEPS, {"saga_id": saga_id}).all()
            made = transition(state_of(row, steps, self.plans.get(connection, row.plan)), decide)
            _write(connection, made, actor)
            outputs = {step.name: step.output for step in steps}
            return Committed(
                made.before, made.decision, made.after, made.entries, row.input, outputs
            )

        return self.database.write(work)

    def peek(self, saga_id: UUID) -> SagaState | None:
        """Return the saga as it is, without a lock: it may have changed a moment later."""

        def work(connection: Connection) -> SagaState | None:
            row = connection.execute(_READ, {"saga_id": saga_id}).one_or_none()
            if row is None:
                return None
            steps = connection.execute(_STEPS, {"saga_id": saga_id}).all()
            return state_of(row, steps, self.plans.get(connection, row.plan))

        return self.database.read(work)

    def holds(self, saga_id: UUID, step: str, token: str, epoch: int) -> bool:
        """Tell whether the execution *token* still holds the step at this epoch."""
        saga = self.peek(saga_id)
        if saga is None or saga.epoch != epoch:
            return False
        return saga.step(step).held and saga.step(step).claim == token


_READ = select(t.saga, now().label("now")).where(t.saga.c.id == bindparam("saga_id"))
_LOCK = _READ.with_for_update()
# Whether a worker has expired is read after the saga is locked: its expiry made the saga due.
_STEPS = (
    select(t.step, or_(t.step.c.worker.is_(None), t.worker.c.id.is_not(None)).label("attended"))
    .outerjoin(t.worker, t.worker.c.id == t.step.c.worker)
    .where(t.step.c.saga_id == bindparam("saga_id"))
)


def state_of(row: Row[Any], steps: Iterable[Row[Any]], plan: Plan) -> SagaState:
    """Return the state of a saga from its row, with ``now``, and the rows of its steps."""
    return SagaState(
        id=row.id,
        name=row.name,
        key=row.key,
        status=SagaStatus(row.status),
        epoch=row.epoch,
        plan=plan,
        steps={step.name: _step_state(step) for step in steps},
        now=row.now,
        checks=row.checks,
        sent_at=row.sent_at,
        failure=row.failure,
        parked=row.parked,
        deadline_at=row.deadline_at,
        resends=row.resends,
        copies=row.copies,
        failed_sweeps=row.failed_sweeps,
        unconsumed=row.unconsumed,
        blocked=row.blocked,
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
        losses=row.losses,
        compensation_losses=row.compensation_losses,
        postponements=row.postponements,
        compensation_postponements=row.compensation_postponements,
        postponed_s=row.postponed_s,
        compensation_postponed_s=row.compensation_postponed_s,
        retry_at=row.retry_at,
        expires_at=row.expires_at,
        attended=bool(row.attended),
    )


def _write(connection: Connection, made: Transition, actor: str) -> None:
    _update_saga(connection, made)
    for change in made.decision.steps:
        _write_step(connection, made.before, change)
    if rows := [_history_row(made.before, entry, actor) for entry in made.entries]:
        connection.execute(insert(t.history), rows)
    if made.alert:
        alerts.raise_alert(connection, made)


def _update_saga(connection: Connection, made: Transition) -> None:
    before, decision = made.before, made.decision
    values: dict[str, Any] = {**decision.values}
    if decision.path:
        values["status"] = made.after.status
    if decision.raise_epoch:
        values["epoch"] = made.after.epoch
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
