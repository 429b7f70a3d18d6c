"""Inserting new sagas into the record, in the caller's transaction."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, insert, select

from sagas.decision import SOME_MOMENT, SagaState, StepState, turn_of
from sagas.errors import KeyConflict
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.plans import Plans
from sagas.record.reuse import supersede
from sagas.sql import after_now, chunked, insert_missing, now
from sagas.states import Operation, Reuse, SagaStatus, StepStatus

__all__ = ["AT_FIRST", "NewSaga", "insert_sagas"]

#: Columns that are the same in every saga when it is inserted.
AT_FIRST: Mapping[str, Any] = {
    "status": SagaStatus.STARTED,
    "epoch": 1,
    "checks": 0,
    "resends": 0,
    "copies": 0,
    "failed_sweeps": 0,
    "unconsumed": 0,
}


@dataclass(frozen=True, slots=True)
class NewSaga:
    """A saga that is not in the record yet; *input* is validated JSON, encoded for the record."""

    id: UUID
    key: str
    plan: Plan
    input: str = field(repr=False)
    skipped: tuple[str, ...]
    actor: str
    # Compares two inputs by meaning: the same set, for example, may be dumped in another order.
    same_input: Callable[[str, str], bool] = operator.eq

    def begun(self, moment: datetime, *, delayed: bool = False) -> SagaState:
        """Return the saga as it is once it is inserted; *moment* is then."""
        deadline_s = self.plan.deadline_s
        return SagaState(
            id=self.id,
            name=self.plan.name,
            key=self.key,
            status=SagaStatus.STARTED,
            epoch=1,
            plan=self.plan,
            steps={name: StepState(name, StepStatus.SKIPPED) for name in self.skipped},
            now=moment,
            sent_at=None if delayed else moment,
            deadline_at=None if deadline_s is None else moment + timedelta(seconds=deadline_s),
        )

    def turn(self, *, delayed: bool) -> str | None:
        """Return the saga's first turn; see ``sagas.decision.plain``."""
        return turn_of(self.begun(SOME_MOMENT, delayed=delayed))


def insert_sagas(
    connection: Connection,
    plans: Plans,
    sagas: Sequence[NewSaga],
    *,
    lease_s: float,
    delay_s: float = 0.0,
    reuse: Reuse = Reuse.NEVER,
) -> list[UUID]:
    """Insert sagas of one plan, or find those with this name, key and input; return their ids.

    They are due after a lease: if the caller dies before the publish, a sweep publishes them then.
    With *delay_s* they are due after the delay, and only the sweep publishes them. *reuse* says
    whether they take the keys of sagas that were compensated.

    Raises:
        KeyConflict: a name and key are taken by a saga with another input; undo what was written.
    """
    existing = _existing(connection, sagas)
    former: set[UUID] = set()
    if reuse is Reuse.AFTER_COMPENSATED:
        own = [new.id for new in sagas]
        former = supersede(connection, sagas[0].plan.name, existing, own)
        existing = {key: row for key, row in existing.items() if row.id not in former}
    _refuse_conflicts(sagas, existing)
    missing = [new for new in sagas if new.key not in existing]
    missing.sort(key=lambda new: new.key)  # two who start the same sagas do not deadlock
    if missing:
        _insert(connection, plans, missing, lease_s, delay_s)
        # Another transaction, or an earlier one of these, may have been first.
        existing |= _there(connection, missing, former)
        _refuse_conflicts(missing, existing)
        _first_entries(connection, [new for new in missing if _is_new(existing[new.key], new)])
    return [existing[new.key].id for new in sagas]


def _insert(
    connection: Connection,
    plans: Plans,
    sagas: Sequence[NewSaga],
    lease_s: float,
    delay_s: float,
) -> None:
    plan = sagas[0].plan
    common: dict[str, Any] = {
        "name": plan.name,
        "plan": plans.put(connection, plan),
        **AT_FIRST,
        "started_at": now(),
        "sent_at": None if delay_s else now(),
        "due_at": after_now(delay_s or lease_s),
    }
    if plan.deadline_s is not None:
        common["deadline_at"] = after_now(delay_s + plan.deadline_s)
    rows = [
        {"id": new.id, "key": new.key, "input": new.input, "turn": new.turn(delayed=delay_s > 0)}
        for new in sagas
    ]
    insert_missing(connection, t.saga, common, rows)


def _is_new(row: Row[Any], new: NewSaga) -> bool:
    # If the connection was lost at the commit, the commit may have succeeded, and this is a repeat:
    # then the row belongs to this saga, and has its history.
    return bool(row.id == new.id and not row.begun)


def _there(
    connection: Connection, sagas: Sequence[NewSaga], former: set[UUID]
) -> dict[str, Row[Any]]:
    there = _existing(connection, sagas)
    found = {key: row for key, row in there.items() if row.id not in former}
    if unseen := [new for new in sagas if new.key not in found]:
        # They were committed after the caller's transaction took its snapshot.
        found |= _existing(connection, unseen, locking=True)
    return found


def _existing(
    connection: Connection, sagas: Sequence[NewSaga], *, locking: bool = False
) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    begun = exists().where(t.history.c.saga_id == t.saga.c.id).label("begun")
    keys = sorted({new.key for new in sagas})
    for some in chunked(keys):
        query = select(t.saga.c.id, t.saga.c.key, t.saga.c.status, t.saga.c.input, begun).where(
            t.saga.c.name == sagas[0].plan.name,
            t.saga.c.key.in_(some),
            t.saga.c.superseded == 0,
        )
        if locking:
            query = query.with_for_update(read=True)
        found |= {row.key: row for row in connection.execute(query)}
    return found


def _refuse_conflicts(sagas: Sequence[NewSaga], existing: Mapping[str, Row[Any]]) -> None:
    for new in sagas:
        row = existing.get(new.key)
        if row is not None and row.id != new.id and not new.same_input(row.input, new.input):
            raise KeyConflict(
                f"Saga {new.plan.name!r} with key {new.key!r} exists already ({row.id}), started "
                "with another input. Nothing was started. Use a new key for a new saga, or "
                "get(key=…) for the existing one. To use the key again after its saga was "
                "compensated, start with reuse=Reuse.AFTER_COMPENSATED."
            )


def _first_entries(connection: Connection, sagas: Sequence[NewSaga]) -> None:
    entries, skipped = [], []
    for new in sagas:
        base = {"saga_id": new.id, "epoch": 1, "actor": new.actor}
        entries.append({**base, "event": SagaStatus.STARTED, "step": None, "operation": None})
        for name in new.skipped:
            entries.append(
                {**base, "event": StepStatus.SKIPPED, "step": name, "operation": Operation.ACTION}
            )
            skipped.append({"saga_id": new.id, "name": name, "status": StepStatus.SKIPPED})
    if skipped:
        connection.execute(insert(t.step), skipped)
    if entries:
        connection.execute(insert(t.history).values(at=now()), entries)
