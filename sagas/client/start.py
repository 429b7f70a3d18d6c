"""Starting sagas: one transaction in the record, then one publish to the broker."""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, select

from sagas import faults
from sagas.client.after_commit import after_commit
from sagas.decision import SOME_MOMENT, Dispatch
from sagas.record.callers import (
    all_or_none,
    explained,
    require_transaction,
    sees_new_plans,
)
from sagas.record.new_sagas import insert_new
from sagas.record.place import in_record
from sagas.record.starts import NewSaga, insert_sagas
from sagas.runtime.app import Runtime
from sagas.runtime.messages import Chain
from sagas.sessions import connection_of
from sagas.sql import now
from sagas.states import Operation, Reuse

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
    start = _Start(runtime, sagas, delay_s, reuse)
    # A caller's transaction may have locked a record in SQLite, which cannot be claimed meanwhile.
    runtime.require_own_record(claim=session is None)
    if session is None:
        start.commit()
        if not delay_s:
            start.publish()
    else:
        connection = connection_of(session, "start(session=…)")
        start.join(connection)
        if not delay_s:
            after_commit(connection, start.publish)
    return start.ids


class _Start:
    """One start of sagas of one plan: in the record first, then at the broker."""

    def __init__(
        self, runtime: Runtime, sagas: Sequence[NewSaga], delay_s: float, reuse: Reuse
    ) -> None:
        self.ids: list[UUID] = []
        self._runtime = runtime
        self._database = runtime.database
        self._plans = runtime.store.plans
        self._sagas = sagas
        self._delay_s = delay_s
        self._reuse = reuse
        self._moment = SOME_MOMENT  # of the insertion, by the database's clock

    def commit(self) -> None:
        """Insert the sagas in a transaction of their own."""
        if len(self._sagas) > 1:  # which may take long
            self._plans.commit(self._database, self._sagas[0].plan)
        elif self._database.runs_on_postgresql and self._database.write_at_once(self._insert_new):
            return
        self._database.write(self._insert)

    def join(self, connection: Connection) -> None:
        """Insert the sagas in the caller's transaction."""
        require_transaction(connection)
        with explained(_names(self._sagas)), ExitStack() as stack:
            if sees_new_plans(connection):
                self._plans.commit(self._database, self._sagas[0].plan)
            stack.enter_context(in_record(connection, self._runtime.record_place))
            with all_or_none(connection) if len(self._sagas) > 1 else nullcontext():
                self._insert(connection)

    def publish(self) -> None:
        """Send the first messages; what this does not send, for any reason, the sweep does."""
        started = set(self.ids)
        chains = [_chain(new, self._moment) for new in self._sagas if new.id in started]
        if to_send := [chain for chain in chains if chain]:
            self._runtime.messages.publish(*to_send)
            for chain in to_send:
                faults.reach("start.published", chain.saga.key)

    def _insert(self, connection: Connection) -> None:
        if self._insert_new(connection):
            return
        self._moment = connection.execute(select(now())).scalar_one()
        lease_s = self._runtime.settings.saga_lease_s
        self.ids = insert_sagas(
            connection,
            self._plans,
            self._sagas,
            lease_s=lease_s,
            delay_s=self._delay_s,
            reuse=self._reuse,
        )

    def _insert_new(self, connection: Connection) -> bool:
        lease_s = self._runtime.settings.saga_lease_s
        moment = insert_new(connection, self._sagas, lease_s=lease_s, delay_s=self._delay_s)
        if moment is None:
            return False
        self._moment, self.ids = moment, [new.id for new in self._sagas]
        return True


def _names(sagas: Sequence[NewSaga]) -> str:
    others = f" (and {len(sagas) - 1} more)" if len(sagas) > 1 else ""
    return f"Saga {sagas[0].plan.name!r} {sagas[0].key!r}{others}"


def _chain(new: NewSaga, moment: datetime) -> Chain | None:
    """Return the first chain of a saga that is committed."""
    faults.reach("start.committed", new.key)
    steps = tuple(step.name for step in new.plan if step.name not in new.skipped)
    if not steps:
        return None
    saga = new.begun(moment)
    return Chain(saga, Dispatch(Operation.ACTION, steps), epoch=1)
