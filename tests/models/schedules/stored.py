"""The same world on the real store: SQLite with the clock of the simulation."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, event, select

from sagas.decision import Decision, SagaState, Transition
from sagas.plan import Plan
from sagas.record import due, queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from tests.models.schedules.check import history_of
from tests.models.schedules.record import START, TIMING, Record
from tests.support.prediction import is_believed

__all__ = ["SqliteStore", "StoredRecord", "sqlite_store"]


class SqliteStore:
    """A record in a SQLite file; ``now`` is what its clock shows."""

    def __init__(self, path: Path) -> None:
        self.now = START
        self.database = Database(f"sqlite:///{path}")
        upgrade(self.database)
        self.database.dispose()
        event.listen(self.database.engine, "connect", self._connected)
        self.store = Store(self.database)

    def _connected(self, connection: Any, _: Any) -> None:
        # These files need not survive a crash of the machine.
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function("strftime", -1, self._strftime)

    def _strftime(self, form: str, moment: str, offset: str = "0 seconds") -> str:
        assert (form, moment) == ("%Y-%m-%d %H:%M:%f000", "now"), "what sagas.sql asks the clock"
        shifted = self.now + timedelta(seconds=float(offset.removesuffix(" seconds")))
        return f"{shifted:%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def sqlite_store(folder: Path) -> Iterator[SqliteStore]:
    """Create a record in a folder and close it afterwards."""
    made = SqliteStore(folder / "record.db")
    try:
        yield made
    finally:
        made.database.dispose()


class StoredRecord(Record):
    """One saga, written to the store and as plain values; the two never differ."""

    def __init__(
        self,
        sqlite: SqliteStore,
        plan: Plan,
        skipped: tuple[str, ...],
        *,
        delay_s: float = 0.0,
        number: int = 1,
    ) -> None:
        super().__init__(plan, skipped, delay_s=delay_s, number=number)
        self._sqlite, self._store = sqlite, sqlite.store
        sqlite.now = self.now
        new = NewSaga(self.saga.id, self.saga.key, plan, "{}", skipped, "starter")
        lease_s, plans = TIMING.lease_s, self._store.plans
        for _ in range(2):  # as if the reply to the first commit was lost
            self._store.database.write(
                lambda c: insert_sagas(c, plans, [new], lease_s=lease_s, delay_s=delay_s)
            )
        self._compare()

    def transition(
        self,
        decide: Callable[[SagaState], Decision],
        actor: str,
        predicted: SagaState | None = None,
    ) -> Transition:
        """Write what is decided to both."""
        self._sqlite.now = self.now
        stored = self._store.transition(
            self.saga.id,
            lambda saga: decide(_all_attended(saga)),
            actor=actor,
            predicted=predicted,
        )
        unread = predicted is not None and is_believed(predicted, self.saga)
        done = super().transition(decide, actor, predicted)
        assert stored is not None
        _same(stored.decision, done.decision)
        if not unread:  # of a saga that was only predicted, what no decision needs is not known
            _same(_all_attended(stored.before), done.before)
            _same(_all_attended(stored.after), done.after)
        if done.decision.values or done.decision.steps:
            self._compare()
        return done

    def reserve_due(self, reservation_s: float) -> bool:
        """Reserve the saga in both."""
        self._sqlite.now = self.now
        database = self._store.database
        taken = database.write(lambda c: due.reserve_due(c, limit=100, reservation_s=reservation_s))
        _same(self.saga.id in taken, super().reserve_due(reservation_s))
        return self.saga.id in taken

    def extend(self, epoch: int, reservation_s: float) -> None:
        """Put the saga off in both."""
        self._sqlite.now = self.now
        messages = [(self.saga.id, epoch)]
        self._store.database.write(lambda c: due.extend(c, messages, extension_s=reservation_s))
        super().extend(epoch, reservation_s)
        _same(self._due_at(), self.due_at)

    def compare_all(self) -> None:
        """Compare what grows: the history and the alerts."""
        read = self._store.database.read
        history = read(lambda c: queries.history_of(c, self.saga.id))
        plain = [replace(entry, id=0, detail=_as_json(entry.detail)) for entry in history_of(self)]
        _same([replace(entry, id=0) for entry in history], plain)
        query = select(t.alert.c.kind, t.alert.c.epoch).where(t.alert.c.saga_id == self.saga.id)
        alerts = read(lambda c: c.execute(query.order_by(t.alert.c.id)).all())
        _same([tuple(alert) for alert in alerts], self.alerts)

    def _compare(self) -> None:
        peeked = self._store.peek(self.saga.id)
        assert peeked is not None
        _same(_all_attended(peeked), self.peek())
        _same(self._due_at(), self.due_at)

    def _due_at(self) -> datetime | None:
        given = {"saga_id": self.saga.id}
        read = self._store.database.read
        due_at: datetime | None = read(lambda c: c.execute(_DUE_AT, given).scalar_one())
        return due_at


_DUE_AT = select(t.saga.c.due_at).where(t.saga.c.id == bindparam("saga_id"))


def _all_attended(saga: SagaState) -> SagaState:
    """Leave out which workers have expired: those of a simulation are in no table."""
    steps = {name: replace(step, attended=True) for name, step in saga.steps.items()}
    return replace(saga, steps=steps)


def _as_json(detail: Any) -> Any:
    return detail and json.loads(json.dumps(dict(detail), default=str))


def _same(stored: object, plain: object) -> None:
    assert stored == plain, f"the store has {stored}, and it should be {plain}"
