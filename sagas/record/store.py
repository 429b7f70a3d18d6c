"""Every write to a saga: lock it, let the decision be made, write it with its history, commit.

All writers of one saga queue up at its row, so a decision always sees everything that was decided
before it. Each UPDATE repeats what it expects (status, epoch) in its WHERE clause: a guard against
a writer that would come without the lock.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from sagas.decision import (
    Decision,
    SagaState,
    StepChange,
    StepState,
    before_deadline,
    with_change,
)
from sagas.plan import Plan
from sagas.record import alerts
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.plans import Plans
from sagas.sql import now
from sagas.states import SAGA_EDGES, STEP_EDGES, SagaStatus, StepStatus

__all__ = ["Store", "Transition"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision that is committed: what the saga was, what was decided, what holds now.

    ``input`` and ``outputs`` are JSON, as they were before the decision.
    """

    before: SagaState
    decision: Decision
    epoch: int
    input: str
    outputs: Mapping[str, str | None]

    @property
    def status(self) -> SagaStatus:
        """The saga's status now."""
        return self.decision.path[-1] if self.decision.path else self.before.status

    @property
    def after(self) -> SagaState:
        """The saga as it is now."""
        changed = self.before
        for change in self.decision.steps:
            changed = with_change(changed, change)
        return replace(changed, status=self.status, epoch=self.epoch)


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
            decision = before_deadline(state, decide(state))
            _apply(connection, state, decision, actor)
            epoch = state.epoch + decision.raise_epoch
            outputs = {step.name: step.output for step in steps}
            return Transition(state, decision, epoch, row.input, outputs)

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
_STEPS = select(t.step).where(t.step.c.saga_id == bindparam("saga_id"))


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
    )


def _apply(connection: Connection, state: SagaState, decision: Decision, actor: str) -> None:
    _update_saga(connection, state, decision)
    for change in decision.steps:
        _write_step(connection, state, change)
    if entries := list(_entries(state, decision, actor)):
        connection.execute(insert(t.history), entries)
    if SagaStatus.FAILED in decision.path:
        alerts.raise_alert(connection, state, decision)


def _update_saga(connection: Connection, state: SagaState, decision: Decision) -> None:
    values = dict(decision.values)
    status = state.status
    for following in decision.path:
        if following not in SAGA_EDGES[status]:
            raise AssertionError(f"Saga {state.id}: no edge {status} -> {following}.")
        status = following
    if decision.path:
        values["status"] = status
    if decision.raise_epoch:
        values["epoch"] = state.epoch + 1
    if not values:
        return
    expected = (
        t.saga.c.id == state.id,
        t.saga.c.epoch == state.epoch,
        t.saga.c.status == state.status,
    )
    _exactly_one(connection.execute(update(t.saga).where(*expected).values(values)).rowcount, state)


def _write_step(connection: Connection, state: SagaState, change: StepChange) -> None:
    before = state.step(change.name).status
    if change.status not in STEP_EDGES[before]:
        raise AssertionError(
            f"Saga {state.id}, {change.name}: no edge {before} -> {change.status}."
        )
    values = {**change.values, "status": change.status}
    if change.name not in state.steps:
        connection.execute(insert(t.step).values(saga_id=state.id, name=change.name, **values))
        return
    expected = (
        t.step.c.saga_id == state.id,
        t.step.c.name == change.name,
        t.step.c.status == before,
    )
    _exactly_one(connection.execute(update(t.step).where(*expected).values(values)).rowcount, state)


def _exactly_one(matched: int, state: SagaState) -> None:
    if matched != 1:
        raise AssertionError(f"Saga {state.id} was changed by a writer without its lock.")


def _entries(state: SagaState, decision: Decision, actor: str) -> Iterable[dict[str, Any]]:
    base = {
        "saga_id": state.id,
        "at": state.now,
        "epoch": state.epoch + decision.raise_epoch,
        "actor": actor,
        "step": None,
        "operation": None,
        "attempt": None,
        "detail": None,
    }
    if decision.note:
        detail = {"why": decision.why} if decision.why else None
        yield {**base, "event": decision.note, "detail": detail}
    for change in decision.steps:
        yield {
            **base,
            "event": change.status,
            "step": change.name,
            "operation": change.operation,
            "attempt": change.attempt,
            "detail": change.detail,
        }
    for status in decision.path:
        detail = decision.values.get("parked") if status is SagaStatus.FAILED else None
        if status is SagaStatus.COMPENSATING:
            detail = decision.values.get("failure", state.failure)
        yield {**base, "event": status, "detail": detail}
