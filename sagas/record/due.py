"""Which sagas are due, and for whom they wait."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Connection, or_, select, tuple_, update

from sagas.record import tables as t
from sagas.sql import after_now, statement_now

__all__ = ["any_due", "take_due", "vouch"]


def any_due(connection: Connection) -> bool:
    """Tell, without a lock, whether a saga is due."""
    query = select(t.saga.c.id).where(t.saga.c.due_at <= statement_now()).limit(1)
    return connection.execute(query).one_or_none() is not None


def take_due(connection: Connection, *, limit: int, hold_s: float) -> Sequence[UUID]:
    """Take sagas that are due, the longest overdue first, and keep them from others for a while.

    If the taker dies they are due again after *hold_s* seconds, so a batch that nobody can help
    does not stand before the rest.
    """
    due = (
        select(t.saga.c.id)
        .where(t.saga.c.due_at <= statement_now())
        .order_by(t.saga.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # Two statements: MariaDB neither returns what it updates, nor reads what it updates.
    taken = connection.execute(due).scalars().all()
    if taken:
        held = update(t.saga).where(t.saga.c.id.in_(taken)).values(due_at=after_now(hold_s))
        connection.execute(held)
    return taken


def vouch(connection: Connection, messages: Collection[tuple[UUID, int]], *, hold_s: float) -> None:
    """Put off sagas whose messages are known to be in a living worker's hands.

    Each message is named by its saga and its epoch: one of an older epoch proves nothing.
    """
    connection.execute(
        update(t.saga)
        .where(
            tuple_(t.saga.c.id, t.saga.c.epoch).in_(messages),
            t.saga.c.due_at < after_now(hold_s / 2),
            t.saga.c.sent_at.is_not(None),
            # A message in somebody's hands does not keep a deadline from passing.
            or_(t.saga.c.deadline_at.is_(None), t.saga.c.deadline_at > after_now(hold_s)),
        )
        .values(due_at=after_now(hold_s))
    )
