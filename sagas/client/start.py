"""Starting sagas: one transaction in the record, then one publish to the broker."""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, select

from sagas import faults
from sagas.client.after_commit import after_commit
from sagas.decision import Dispatch, SagaState, StepState
from sagas.record.callers import (
    all_or_none,
    explained,
    require_transaction,
    sees_new_plans,
)
from sagas.record.place import in_record
from sagas.record.starts import NewSaga, insert_sagas
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain
from sagas.sessions import connection_of
from sagas.sql import now
from sagas.states import Operation, Reuse, SagaStatus, StepStatus

if TYPE_CHECKING:
    from sagas.sessions import AnySession

__all__ = ["start_sagas"]


def start_sagas(
    runtime: Runtime,
    sagas: Sequence[NewSaga],
    session: "AnySession | None",
    *,
    delay_s: float,
    reuse: Reuse,
) -> list[UUID]:
    """Start sagas in the caller's transaction, or in their own; return their ids."""
    moments: list[datetime] = []  # by the database's clock; the last one is the last try's

    def insert(connection: Connection) -> list[UUID]:
        moments.append(connection.execute(select(now())).scalar_one())
        return insert_sagas(
            connection,
            runtime.store.plans,
            sagas,
            lease_s=runtime.settings.saga_lease_s,
            delay_s=delay_s,
            reuse=reuse,
        )

    def publish() -> None:  # the sweep publishes what this does not, for any reason
        started = set(ids)
        if chains := [
            chain for new in sagas if new.id in started and (chain := _chain(new, moments[-1]))
        ]:
            runtime.messages.publish(*chains)
            for chain in chains:
                faults.reach("start.published", chain.saga.key)

    # A caller's transaction may have locked a record in SQLite, which cannot be claimed meanwhile.
    runtime.require_own_record(claim=session is None)
    if session is None:
        if len(sagas) > 1:  # which may take long
            runtime.store.plans.commit(runtime.database, sagas[0].plan)
        ids = runtime.database.write(insert)
        if not delay_s:
            publish()
        return ids
    connection = connection_of(session, "start(session=…)")
    require_transaction(connection)
    with explained(_names(sagas)), ExitStack() as stack:
        if sees_new_plans(connection):
            runtime.store.plans.commit(runtime.database, sagas[0].plan)
        stack.enter_context(in_record(connection, runtime.record_place))
        with all_or_none(connection) if len(sagas) > 1 else nullcontext():
            ids = insert(connection)
    if not delay_s:
        after_commit(connection, publish)
    return ids


def _names(sagas: Sequence[NewSaga]) -> str:
    others = f" (and {len(sagas) - 1} more)" if len(sagas) > 1 else ""
    return f"Saga {sagas[0].plan.name!r} {sagas[0].key!r}{others}"


def _chain(new: NewSaga, moment: datetime) -> Chain | None:
    """Return the first chain of a saga that is committed."""
    faults.reach("start.committed", new.key)
    steps = tuple(step.name for step in new.plan if step.name not in new.skipped)
    if not steps:
        return None
    saga = SagaState(
        id=new.id,
        name=new.plan.name,
        key=new.key,
        status=SagaStatus.STARTED,
        epoch=1,
        plan=new.plan,
        steps={name: StepState(name, StepStatus.SKIPPED) for name in new.skipped},
        now=moment,
    )
    return Chain(saga, Dispatch(Operation.ACTION, steps), epoch=1)
