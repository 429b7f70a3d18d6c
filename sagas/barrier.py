"""The barrier: a row in the participant's own database that makes an effect happen once.

The row is written in the effect's own transaction, so both commit together or not at all. It
handles the four cases that arise when messages are repeated, late or reordered (the scheme is DTM's
sub-transaction barrier):

========================================  ======================================================
the action, for the first time            runs; the row and the effect commit together
the action again                          does not run; the stored result is returned
the compensation before any action        does nothing and leaves a tombstone (null compensation)
the action after its compensation         refused by the tombstone (hanging)
========================================  ======================================================

Create the table with ``create_tables``, or with a migration of your own::

    CREATE TABLE saga_barrier (
        saga_id CHAR(36) NOT NULL, step VARCHAR(200) NOT NULL, operation VARCHAR(16) NOT NULL,
        made_by VARCHAR(16) NOT NULL, result TEXT, created_at TIMESTAMP NOT NULL,
        PRIMARY KEY (saga_id, step, operation)
    );

On MariaDB, ``result`` is a LONGTEXT, ``created_at`` is a DATETIME(6), and the table ends with
``ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin``, so that the names of steps are
compared exactly.

This module needs only SQLAlchemy: a participant can use it without the rest of the package.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    select,
    update,
)
from sqlalchemy.exc import OperationalError, ProgrammingError

from sagas.errors import BarrierError, HangingAction
from sagas.hidden import Sealed
from sagas.sql import (
    EXACT,
    Instant,
    PayloadText,
    commits_each_statement,
    insert_if_absent,
    is_mariadb,
    now,
)
from sagas.states import Operation

__all__ = ["create_tables", "metadata", "once", "table"]

metadata = MetaData()

table = Table(
    "saga_barrier",
    metadata,
    Column("saga_id", String(36), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("operation", String(16), primary_key=True),
    # The operation that wrote the row: an action's row written by a compensation is a tombstone.
    Column("made_by", String(16), nullable=False),
    # NULL until the function has returned.
    Column("result", PayloadText),
    Column("created_at", Instant, nullable=False),
    **EXACT,
)


def create_tables(bind: Engine | Connection) -> None:
    """Create the barrier's table in a participant's database if it is missing."""
    metadata.create_all(bind)


def once(
    connection: Connection,
    function: Callable[[], Any],
    *,
    saga_id: UUID,
    step: str,
    operation: Operation,
    dump: Callable[[Sealed[Any]], str],
    load: Callable[[str], Any],
) -> Any:
    """Run *function* in the connection's transaction unless this operation was accepted before.

    Returns the function's result, converted by *dump* and *load*, the first time and at every
    repeat; None for a compensation that found nothing to undo. Two concurrent executions wait for
    each other: the second sees what the first has committed.

    Raises:
        HangingAction: the action came after its compensation; nothing was done.
        BarrierError: the barrier's table is not in this database, the connection is in AUTOCOMMIT,
            or the function began once and its transaction was committed before it returned.
    """
    _refuse_autocommit(connection, step)
    row = {"saga_id": str(saga_id), "step": step}
    undoing = operation is Operation.COMPENSATION
    # If this inserts the row, the action never came; the row is the tombstone that refuses it.
    nothing_to_undo = undoing and _take(connection, row, Operation.ACTION, operation)
    if not _take(connection, row, operation, operation):
        return _earlier_result(connection, row, operation, load)
    if nothing_to_undo:
        _finish(connection, row, operation, _NOTHING)
        return None
    result = dump(Sealed(function()))
    _finish(connection, row, operation, result)
    return load(result)


#: The result of a compensation that found nothing to undo: JSON's null.
_NOTHING = "null"


def _finish(connection: Connection, row: dict[str, str], operation: Operation, result: str) -> None:
    connection.execute(update(table).where(*_key(row, operation)).values(result=result))


def _refuse_autocommit(connection: Connection, step: str) -> None:
    if commits_each_statement(connection):
        raise BarrierError(
            f"Step {step} called ctx.once() on a connection in AUTOCOMMIT: the barrier's row would "
            "be committed before the effect, which could then be lost. Use an engine or a session "
            'with transactions, without isolation_level="AUTOCOMMIT".'
        )


def _take(
    connection: Connection, row: dict[str, str], operation: Operation, made_by: Operation
) -> bool:
    values = {**row, "operation": operation, "made_by": made_by, "created_at": now()}
    try:
        return insert_if_absent(connection, table, values)
    except (OperationalError, ProgrammingError) as error:
        if any(sign in str(error.orig) for sign in _NO_TABLE):
            raise BarrierError(
                f"Step {row['step']} called ctx.once() on a database without the table "
                "saga_barrier. Create it there with sagas.barrier.create_tables(engine), or with a "
                "migration."
            ) from error
        raise


#: How SQLite, PostgreSQL and MariaDB report a missing table.
_NO_TABLE = ("no such table", "does not exist", "doesn't exist")


def _earlier_result(
    connection: Connection, row: dict[str, str], operation: Operation, load: Callable[[str], Any]
) -> Any:
    query = select(table.c.made_by, table.c.result).where(*_key(row, operation))
    if is_mariadb(connection.dialect):
        # At REPEATABLE READ, its default, only a locking read sees what was committed meanwhile.
        query = query.with_for_update(read=True)
    earlier = connection.execute(query).one_or_none()
    if earlier is None:
        raise BarrierError(
            f"The barrier's row of {row['step']} (saga {row['saga_id']}) was written by a "
            "transaction whose changes this one cannot see. Run the step at READ COMMITTED, or "
            "leave it to the next attempt, which sees them."
        )
    if earlier.made_by != operation:
        raise HangingAction(
            f"The action of {row['step']} came after its compensation had been accepted "
            f"(saga {row['saga_id']}). It was refused and had no effect."
        )
    if earlier.result is None:
        raise BarrierError(
            f"The {operation} of {row['step']} (saga {row['saga_id']}) has a row in the barrier "
            "that was committed before the function of ctx.once() had returned, by a commit in a "
            "finally block, say, or in AUTOCOMMIT. Nobody knows what it did. Find out, mend that "
            "commit, and delete the row from saga_barrier to have the function run again."
        )
    return None if earlier.result == _NOTHING else load(earlier.result)


def _key(row: dict[str, str], operation: Operation) -> tuple[Any, ...]:
    return (
        table.c.saga_id == row["saga_id"],
        table.c.step == row["step"],
        table.c.operation == operation,
    )
