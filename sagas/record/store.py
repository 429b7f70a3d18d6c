"""Every write to a saga: lock it, decide, write the decision with its history, commit.

All writers of one saga queue up at its row, so a decision always sees every decision before it.
Where the caller can predict what the saga is, its decision is written without reading it first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, or_, select

from sagas.decision import Decide, SagaState, StepState, Transition, transition
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.payloads import Payloads
from sagas.record.plans import Plans
from sagas.record.predicted import write_predicted
from sagas.record.writes import write
from sagas.sql import now
from sagas.states import SagaStatus, StepStatus

__all__ = ["Committed", "Store", "state_of"]


@dataclass(frozen=True, slots=True)
class Committed(Transition):
    """A transition that is committed, and the payloads from before it."""

    payloads: Payloads = field(repr=False)

    @property
    def input(self) -> str:
        """The saga's input: JSON as the record keeps it."""
        return self.payloads.input

    @property
    def outputs(self) -> Mapping[str, str | None]:
        """The outputs of its steps, by name; likewise."""
        return self.payloads.outputs

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

    def transition(
        self, saga_id: UUID, decide: Decide, *, actor: str, predicted: SagaState | None = None
    ) -> Committed | None:
        """Lock the saga, run the transition that *decide* asks for, write it and commit.

        Returns None where there is no such saga. *actor* goes into the history. It is safe to
        repeat after a commit whose reply was lost, as long as *decide* recognises its own work.

        *predicted* is what the caller takes the saga for. Where that is right, one statement does
        all of it; where not, it costs that statement. The rows are the same either way.
        """
        if predicted is not None and predicted.turn is not None:
            written = write_predicted(self.database, predicted, decide, actor=actor)
            if written is not None:
                payloads = Payloads(self.database, saga_id, input=written.input)
                return _committed(written.made, payloads)

        def work(connection: Connection) -> Committed | None:
            row = connection.execute(_LOCK, {"saga_id": saga_id}).one_or_none()
            if row is None:
                return None
            steps = connection.execute(_STEPS, {"saga_id": saga_id}).all()
            made = transition(state_of(row, steps, self.plans.get(connection, row.plan)), decide)
            write(connection, made, actor)
            outputs = {step.name: step.output for step in steps}
            payloads = Payloads(self.database, saga_id, input=row.input, outputs=outputs)
            return _committed(made, payloads)

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


def _committed(made: Transition, payloads: Payloads) -> Committed:
    return Committed(made.before, made.decision, made.after, made.entries, payloads)


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
        turn=row.turn,
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
