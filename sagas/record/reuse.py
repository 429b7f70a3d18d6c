"""A key that is used again: the saga that had it keeps it, as one of the former ones.

``superseded`` is 0 in the row of the saga that has a key now, and numbers the former ones from 1.
It belongs to the unique constraint, so one saga at most has a key. Whoever gives a key away locks
that row: of several who do it at the same moment, one does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update

from sagas.record import tables as t
from sagas.sql import chunked
from sagas.states import SagaStatus

__all__ = ["supersede"]


def supersede(
    connection: Connection, name: str, found: Mapping[str, Row[Any]], own: Iterable[UUID]
) -> set[UUID]:
    """Take their keys from the sagas that were compensated; return the ids of these sagas.

    *found* are the sagas that have the keys; *own* the ids of those that this start has inserted,
    if it is a repeat.
    """
    started = set(own)
    former = {
        key: row.id
        for key, row in sorted(found.items())  # two who start the same sagas do not deadlock
        if row.status == SagaStatus.COMPENSATED and row.id not in started
    }
    numbers = _numbers(connection, name, list(former))
    for key, saga_id in former.items():
        # Where another start was first, this matches no row: the key is that start's.
        current = (t.saga.c.id == saga_id, t.saga.c.superseded == 0)
        number = numbers.get(key, 0) + 1
        connection.execute(update(t.saga).where(*current).values(superseded=number))
    return set(former.values())


def _numbers(connection: Connection, name: str, keys: Sequence[str]) -> dict[str, int]:
    """Return the highest number of the former sagas of each key."""
    highest = func.max(t.saga.c.superseded).label("highest")
    numbers: dict[str, int] = {}
    for some in chunked(keys):
        query = select(t.saga.c.key, highest).where(t.saga.c.name == name, t.saga.c.key.in_(some))
        rows = connection.execute(query.group_by(t.saga.c.key))
        numbers |= {row.key: row.highest for row in rows}
    return numbers
