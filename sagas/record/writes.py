"""Writing a transition under the lock of its saga.

Each UPDATE repeats what it expects (status, epoch) in its WHERE clause, as a guard against a writer
without the lock.
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, update

from sagas.decision import Entry, SagaState, StepChange, Transition
from sagas.record import alerts
from sagas.record import tables as t

__all__ = ["history_row", "saga_values", "write", "write_history", "write_step"]


def write(connection: Connection, made: Transition, actor: str) -> None:
    """Write a transition of a saga that this transaction has locked."""
    _update_saga(connection, made)
    for change in made.decision.steps:
        write_step(connection, made.before, change)
    write_history(connection, made, actor)
    if made.alert:
        alerts.raise_alert(connection, made)


def saga_values(made: Transition) -> dict[str, Any]:
    """Return the columns of the saga that a transition writes."""
    values: dict[str, Any] = {**made.decision.values}
    if made.decision.path:
        values["status"] = made.after.status
    if made.decision.raise_epoch:
        values["epoch"] = made.after.epoch
    return values


def _update_saga(connection: Connection, made: Transition) -> None:
    before, values = made.before, saga_values(made)
    if not values:
        return
    expected = (
        t.saga.c.id == before.id,
        t.saga.c.epoch == before.epoch,
        t.saga.c.status == before.status,
    )
    done = connection.execute(update(t.saga).where(*expected).values(values))
    _exactly_one(done.rowcount, before)


def write_step(connection: Connection, state: SagaState, change: StepChange) -> None:
    """Write a step's change; its row is inserted with the first one."""
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


def write_history(connection: Connection, made: Transition, actor: str) -> None:
    """Add a transition's entries to the history."""
    if rows := [history_row(made.before, entry, actor) for entry in made.entries]:
        connection.execute(insert(t.history), rows)


def history_row(state: SagaState, entry: Entry, actor: str) -> dict[str, Any]:
    """Return the row of a history entry."""
    return {**asdict(entry), "saga_id": state.id, "actor": actor}
