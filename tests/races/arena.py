"""A database on which moves race; every run begins from the same state."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sqlalchemy import (
    Column,
    CompoundSelect,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    cast,
    event,
    func,
    literal,
    select,
    text,
    union_all,
)

from sagas import barrier
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.store import Store
from sagas.sql import Instant, now
from sagas.testing import Violation, violations
from tests.races.schedule import Choices, in_every_order, race
from tests.races.session import Move, Session
from tests.support.waiting import HANG_S

__all__ = ["Arena", "ledger", "open_arena"]

#: A participant's effects.
ledger = Table(
    "ledger",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("what", String(40), nullable=False),
)


#: Parents before their children.
_TABLES = (t.plan, t.saga, t.step, t.history, t.alert, t.worker, barrier.table, ledger)

#: Tables whose rows are distinguished by the order of insertion.
_NUMBERED = (t.history, t.alert, ledger)

Outcome = dict[str, Any]


class Arena:
    """Two sessions, and a third connection that prepares and reads the database."""

    def __init__(
        self, database: Database, home: Connection, sessions: tuple[Session, Session]
    ) -> None:
        self.store = Store(database)
        self._sound: list[Outcome] = []
        self._home = home
        self._rows = _rows(home.dialect.name)
        self._sessions = sessions

    def keep(self) -> None:
        """Keep the database as it is now; every run begins with it."""
        for table in _TABLES:
            self._home.execute(text(f"DROP TABLE IF EXISTS kept_{table}"))
            self._home.execute(text(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}"))  # noqa: S608 - names of our own
        self._home.commit()

    def serially(self, *moves: tuple[int, Move]) -> Outcome:
        """Make moves one after the other, each in the session with the given number."""
        self._restore()
        answers = {n: move.made(self._sessions[n].store) for n, move in moves}
        outcome = self._outcome([answers.get(n, []) for n in range(2)])
        record = {**outcome, "answers": None}
        if record not in self._sound:
            assert not (wrong := self._violations()), wrong
            self._sound.append(record)
        return outcome

    def pair(self, one: Move, other: Move) -> None:
        """Let two moves race in every order, and compare each result with the serial ones."""
        allowed = [self.serially((0, one), (1, other)), self.serially((1, other), (0, one))]
        # Each of two moves that skip locked rows may get any part of them, but no row goes to both.
        whole = _put_together if one.passes_over and other.passes_over else _as_it_is
        if one.passes_over is not other.passes_over:
            allowed += [self.serially((1, other) if one.passes_over else (0, one))]
        allowed = [whole(outcome) for outcome in allowed]
        if one.hastens or other.hastens:
            allowed += [_hastened(outcome) for outcome in allowed]
        runs = 0
        for choices, outcome in in_every_order(lambda c: self._run((one, other), c)):
            runs += 1
            if whole(outcome) not in allowed:
                raise AssertionError(_difference(one, other, choices, outcome, allowed))
        assert runs > 2, f"{one.name} and {other.name} did not overlap"

    def _run(self, moves: Sequence[Move], choices: Choices) -> Outcome:
        self._restore()
        for session, move in zip(self._sessions, moves, strict=True):
            session.begin(move)
        race(self._sessions, choices)
        return self._outcome([session.answer for session in self._sessions])

    def _restore(self) -> None:
        names = [table.name for table in _TABLES]
        statements = [f"DELETE FROM {name}" for name in reversed(names)]  # noqa: S608
        statements += [f"INSERT INTO {name} SELECT * FROM kept_{name}" for name in names]  # noqa: S608
        cursor = self._home.connection.cursor()
        # A driver that accepts all of them at once needs one round trip, not fourteen.
        together = self._home.dialect.name == "postgresql"
        for statement in [";".join(statements)] if together else statements:
            cursor.execute(statement)
        cursor.close()
        self._home.commit()

    def _outcome(self, answers: Sequence[Any]) -> Outcome:
        outcome: Outcome = {"answers": list(answers)}
        for number, _, row in self._home.execute(self._rows):
            outcome.setdefault(_TABLES[number].name, []).append(json.loads(row))
        self._home.commit()
        return outcome

    def _violations(self) -> list[Violation]:
        return violations(self.store.database, running=True)


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome


def _put_together(outcome: Outcome) -> Outcome:
    return {**outcome, "answers": sorted(chain.from_iterable(outcome["answers"]))}


def _hastened(outcome: Outcome) -> Outcome:
    sagas = [{**row, "due_at": row["due_at"] and "past"} for row in outcome[t.saga.name]]
    return {**outcome, t.saga.name: sagas}


def _rows(dialect: str) -> CompoundSelect[Any]:
    """Return the query for everything that matters in all rows, as JSON."""
    as_json = func.json_build_object if dialect == "postgresql" else func.json_object
    selects = []
    for number, table in enumerate(_TABLES):
        place = table.c.id if table in _NUMBERED else literal(0)
        row = as_json(*chain.from_iterable(_columns(table)))
        selects.append(select(literal(number), place.label("place"), cast(row, Text).label("row")))
    return union_all(*selects).order_by(text("1, 2, 3"))


def _columns(table: Table) -> Iterator[tuple[Any, Any]]:
    for column in table.c:
        if isinstance(column.type, Instant):  # all that matters is whether it is past
            come = case((column <= now(), "past"), (column > now(), "ahead"))
            yield text(f"'{column.name}'"), come
        elif not (table in _NUMBERED and column.name == "id") and column is not t.alert.c.body:
            yield text(f"'{column.name}'"), column


def _difference(
    one: Move, other: Move, choices: Choices, outcome: Outcome, allowed: Sequence[Outcome]
) -> str:
    lines = [f"{one.name} (A) and {other.name} (B), in the order", str(choices)]
    for number, serial in enumerate(allowed):
        for name in outcome | serial:
            found, expected = outcome.get(name, []), serial.get(name, [])
            if found != expected:
                lines.append(f"{name} is {found}, but in serial order {number} it is {expected}")
    return "\n".join(lines)


@contextmanager
def open_arena(url: str, level: str | None) -> Iterator[Arena]:
    """Open two sessions at an isolation level; None for a database with a single level."""
    home, *others = databases = [Database(url, patience_s=HANG_S) for _ in range(3)]
    for database in databases:
        if level is None:
            event.listen(database.engine, "connect", _be_quick)
        elif database is not home:
            _set_level(database, level)
    barrier.create_tables(home.engine)
    ledger.create(home.engine)
    with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        blocked = _watch(connection)
        one, other = (Session(n, d, blocked) for n, d in zip("AB", others, strict=True))
        one.rival, other.rival = other, one
        yield Arena(home, connection, (one, other))
    for database in databases:
        database.dispose()


def _set_level(database: Database, level: str) -> None:
    engine = database.engine.execution_options(isolation_level=level)
    begins = database._begins  # noqa: SLF001 - no setting of the product, which knows one level
    begins |= dict.fromkeys(begins, engine)


def _be_quick(connection: Any, _: Any) -> None:
    # A session that would wait is refused, and retries when the scheduler says the lock is free.
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA synchronous = OFF")  # the file dies with the test


def _watch(connection: Connection) -> Callable[[int, int], bool]:
    cursor = connection.connection.cursor()

    def blocked(backend: int, by: int) -> bool:
        # Only by the rival: a vacuum releases its locks in a moment.
        cursor.execute("SELECT %s = ANY (pg_blocking_pids(%s))", (by, backend))
        return bool(cursor.fetchone() == (True,))

    return blocked if connection.dialect.name == "postgresql" else lambda *_: False
