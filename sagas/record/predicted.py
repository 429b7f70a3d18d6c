"""Writing a transition of a saga that was predicted, not read: where the prediction is right.

The prediction is right where the saga has the predicted turn, epoch and plan; see
``sagas.decision.plain``. Moments are the database's, since the prediction has none of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Interval,
    Select,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from sagas.decision import SOME_MOMENT, Decide, SagaState, Transition, transition
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.writes import history_row, saga_values, write_history, write_step
from sagas.sql import now

__all__ = ["write_predicted"]

#: A plain value, the moment of the decision, or a number of seconds after that moment.
Kind: TypeAlias = Literal["value", "now", "later"]
Columns: TypeAlias = tuple[tuple[str, Kind], ...]


class Shape(NamedTuple):
    """What tells two statements apart: the columns that they write."""

    saga: Columns
    step: Columns
    is_new: bool
    entries: int


class Written(NamedTuple):
    """A transition as it was written, and the saga's input, where a claim has read it."""

    made: Transition
    input: str | None


def write_predicted(
    database: Database, predicted: SagaState, decide: Decide, *, actor: str
) -> Written | None:
    """Decide about a predicted saga, and write and commit that; None where it must be read first.

    That is where the prediction is wrong, and where an attempt is to be repeated or people are to
    be told. Nothing is written then.
    """
    guess = transition(replace(predicted, now=SOME_MOMENT), decide)
    if len(guess.decision.steps) != 1 or guess.decision.raise_epoch or guess.alert:
        return None
    if not database.runs_on_postgresql:
        return database.write(lambda c: _in_several(c, predicted, guess, decide, actor))
    shape, values = _described(guess, actor)
    statement = _at_once(shape)
    row = database.write_at_once(lambda c: c.execute(statement, values).one_or_none())
    if row is None:
        return None
    made = transition(replace(predicted, key=row.key, now=row.now), decide)
    return Written(made, row.input if shape.is_new else None)


def _described(guess: Transition, actor: str) -> tuple[Shape, dict[str, Any]]:
    """Return the shape of the statement that writes *guess*, and its parameters."""
    (change,) = guess.decision.steps
    saga, step = saga_values(guess), {**change.values, "status": change.status}
    shape = Shape(
        _columns(saga), _columns(step), change.name not in guess.before.steps, len(guess.entries)
    )
    values = {**_expected(guess.before), "of_step": change.name, "by": actor}
    values |= {f"saga_{name}": _seconds(value) for name, value in saga.items()}
    values |= {f"step_{name}": _seconds(value) for name, value in step.items()}
    for position, entry in enumerate(guess.entries):
        row = history_row(guess.before, entry, actor)
        values |= {f"entry_{position}_{name}": row[name] for name in _OF_ENTRY}
    return shape, values


def _expected(predicted: SagaState) -> dict[str, Any]:
    return {
        "if_id": predicted.id,
        "if_turn": predicted.turn,
        "if_epoch": predicted.epoch,
        "if_plan": predicted.plan.hash,
    }


def _columns(values: Mapping[str, Any]) -> Columns:
    return tuple((name, _kind(values[name])) for name in sorted(values))


def _kind(value: object) -> Kind:
    if not isinstance(value, datetime):
        return "value"
    return "now" if value == SOME_MOMENT else "later"


def _seconds(value: object) -> object:
    return (value - SOME_MOMENT).total_seconds() if isinstance(value, datetime) else value


#: SQLAlchemy gives no defaults to an INSERT within another statement.
_DEFAULTS = {
    column.name: literal(cast("Any", column.default).arg, column.type)
    for column in t.step.c
    if column.default is not None
}
# No parameter is named like a column: SQLAlchemy would have the UPDATE set that column.
_EXPECTED = ("id", "turn", "epoch", "plan")
_OF_ENTRY = ("epoch", "event", "step", "operation", "attempt", "detail")


@lru_cache(maxsize=1024)
def _at_once(shape: Shape) -> Select[Any]:
    """Return one statement for PostgreSQL: the saga first, whose row is the lock of all others."""
    returned = [t.saga.c.id, *_read_for(shape.saga, is_new=shape.is_new)]
    written = _guarded(shape.saga).returning(*returned).cte("written")
    at = written.c.now
    statement = select(*(column for column in written.c if column.name != "id"))
    return statement.add_cte(_step(shape, written, at), _history(shape, written, at))


@lru_cache(maxsize=1024)
def _guarded(columns: Columns) -> Any:
    expected = (t.saga.c[name] == bindparam(f"if_{name}") for name in _EXPECTED)
    return update(t.saga).where(*expected).values(_assigned(t.saga, "saga", columns, None))


def _assigned(table: Table, prefix: str, columns: Columns, at: Any) -> dict[str, Any]:
    """Return what each column is set to; *at* is the moment of the decision, None for the clock."""
    values: dict[str, Any] = {}
    for name, kind in columns:
        type_ = Float() if kind == "later" else table.c[name].type
        value = bindparam(f"{prefix}_{name}", type_=type_)
        if kind == "value":
            values[name] = value
        elif kind == "now":
            values[name] = now() if at is None else at
        else:
            values[name] = now(value) if at is None else at + _interval(value)
    return values


def _interval(seconds: ColumnElement[float]) -> ColumnElement[Any]:
    """Return a duration for PostgreSQL, which alone writes several tables with one moment."""
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds, type_=Interval())


def _read_for(columns: Columns, *, is_new: bool) -> list[ColumnElement[Any]]:
    """Return what a writer must learn of the saga: its key, the moment, and at a claim the input.

    The moment of the decision is the one that was written, where one was.
    """
    moment = next((t.saga.c[name] for name, kind in columns if kind == "now"), now())
    key_and_moment: list[ColumnElement[Any]] = [t.saga.c.key, moment.label("now")]
    return [*key_and_moment, t.saga.c.input] if is_new else key_and_moment


def _step(shape: Shape, written: Any, at: Any) -> Any:
    values = _assigned(t.step, "step", shape.step, at)
    name = bindparam("of_step", type_=t.step.c.name.type)
    if shape.is_new:
        columns = {**_DEFAULTS, "saga_id": written.c.id, "name": name, **values}
        row = select(*columns.values())
        return insert(t.step).from_select([*columns], row, include_defaults=False).cte("step")
    held = (
        t.step.c.saga_id == written.c.id,
        t.step.c.name == name,
        t.step.c.claim == bindparam("if_turn"),
    )
    return update(t.step).where(*held).values(values).cte("step")


def _history(shape: Shape, written: Any, at: Any) -> Any:
    actor = bindparam("by", type_=t.history.c.actor.type)
    rows = [
        select(
            written.c.id,
            at,
            actor,
            *(bindparam(f"entry_{n}_{name}", type_=t.history.c[name].type) for name in _OF_ENTRY),
        )
        for n in range(shape.entries)
    ]
    columns = ["saga_id", "at", "actor", *_OF_ENTRY]
    return insert(t.history).from_select(columns, union_all(*rows)).cte("history")


def _in_several(
    connection: Connection, predicted: SagaState, guess: Transition, decide: Decide, actor: str
) -> Written | None:
    """Write in several statements, the first of which tells whether the prediction is right."""
    saga = saga_values(guess)
    shape = _columns(saga)
    values = {f"saga_{name}": _seconds(value) for name, value in saga.items()}
    done = connection.execute(_guarded(shape), {**_expected(predicted), **values})
    if done.rowcount == 0:
        return None
    (change,) = guess.decision.steps
    is_new = change.name not in predicted.steps
    row = connection.execute(_read_back(shape, is_new=is_new), {"if_id": predicted.id}).one()
    made = transition(replace(predicted, key=row.key, now=row.now), decide)
    for step in made.decision.steps:
        write_step(connection, made.before, step)
    write_history(connection, made, actor)
    return Written(made, row.input if is_new else None)


@lru_cache(maxsize=1024)
def _read_back(columns: Columns, *, is_new: bool) -> Select[Any]:
    read = _read_for(columns, is_new=is_new)
    return select(*read).where(t.saga.c.id == bindparam("if_id"))
