"""Which sagas are due, and for whom they wait."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Connection, or_, select, tuple_, update

from sagas.decision import SagaState
from sagas.record import tables as t
from sagas.sql import after_now, statement_now

__all__ = ["any_due", "note_unsent", "take_due", "vouch"]


def any_due(connection: Connection) -> bool:
    """Tell, without a lock, whether a saga is due."""
    query = select(t.saga.c.id).where(t.saga.c.due_at <= statement_now()).limit(1)
    return connection.execute(query).one_or_none() is not None


def take_due(
    connection: Connection, *, limit: int, hold_s: float, stumbled: bool = False
) -> Sequence[UUID]:
    """Take sagas that are due, and keep them from others for *hold_s* seconds.

    If the taker dies they are due again after that. Half of them are those overdue the longest, so
    that each has its turn; the others are those that became due last, so that none waits for a
    crowd that nobody can help and nobody knows yet. *stumbled*: those that could not be moved on
    when they were taken before, which are in nobody's way.
    """
    older = limit - limit // 2
    taken = _pick(connection, older, stumbled=stumbled)
    if len(taken) == older and limit > older:
        taken += _pick(connection, limit - older, stumbled=stumbled, newest=True, without=taken)
    # Two statements: MariaDB neither returns what it updates, nor reads what it updates.
    if taken:
        held = update(t.saga).where(t.saga.c.id.in_(taken)).values(due_at=after_now(hold_s))
        connection.execute(held)
    return taken


def _pick(
    connection: Connection,
    limit: int,
    *,
    stumbled: bool,
    newest: bool = False,
    without: Collection[UUID] = (),
) -> list[UUID]:
    lane = t.saga.c.stumbles > 0 if stumbled else t.saga.c.stumbles == 0
    due = (
        select(t.saga.c.id)
        .where(t.saga.c.due_at <= statement_now(), lane, t.saga.c.id.not_in(without))
        .order_by(t.saga.c.due_at.desc() if newest else t.saga.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(due).scalars())


def note_unsent(connection: Connection, saga: SagaState) -> None:
    """Note that the broker did not take a saga's message, so nobody takes it for a lost one.

    *saga* is as it was when the message was sent. Where it has gone on since, the broker took the
    message all the same, and what the saga waits for now is another one, of the same epoch maybe.
    """
    this = (t.saga.c.id == saga.id, t.saga.c.epoch == saga.epoch, t.saga.c.sent_at == saga.sent_at)
    connection.execute(update(t.saga).where(*this).values(sent_at=None))


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
