"""Which sagas are due, and who checks them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Connection, or_, select, tuple_, update

from sagas.decision import SagaState
from sagas.record import tables as t
from sagas.sql import after_now, chunked, statement_now

__all__ = ["any_due", "extend", "note_unsent", "reserve_due"]


def any_due(connection: Connection) -> bool:
    """Tell, without a lock, whether a saga is due."""
    query = select(t.saga.c.id).where(t.saga.c.due_at <= statement_now()).limit(1)
    return connection.execute(query).one_or_none() is not None


def reserve_due(
    connection: Connection, *, limit: int, reservation_s: float, failing: bool = False
) -> Sequence[UUID]:
    """Return sagas that are due; no other sweep gets them for *reservation_s* seconds.

    If the caller dies, they are due again after that. Half of them have been due the longest, so
    that each gets its turn; the others became due last, so that a crowd of sagas that nothing can
    help, and that is not known as such yet, delays nobody. *failing*: those whose last sweep
    failed, which are kept apart so that they delay nobody either.
    """
    older = limit - limit // 2
    reserved = _pick(connection, older, failing=failing)
    if len(reserved) == older and limit > older:
        reserved += _pick(connection, limit - older, failing=failing, newest=True, without=reserved)
    # Two statements: MariaDB neither returns what it updates, nor reads what it updates.
    if reserved:
        due_at = after_now(reservation_s)
        connection.execute(update(t.saga).where(t.saga.c.id.in_(reserved)).values(due_at=due_at))
    return reserved


def _pick(
    connection: Connection,
    limit: int,
    *,
    failing: bool,
    newest: bool = False,
    without: Collection[UUID] = (),
) -> list[UUID]:
    lane = t.saga.c.failed_sweeps > 0 if failing else t.saga.c.failed_sweeps == 0
    due = (
        select(t.saga.c.id)
        .where(t.saga.c.due_at <= statement_now(), lane, t.saga.c.id.not_in(without))
        .order_by(t.saga.c.due_at.desc() if newest else t.saga.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(due).scalars())


def note_unsent(connection: Connection, saga: SagaState) -> None:
    """Note that the broker refused a saga's message, so that it does not count as lost.

    *saga* is the state in which the message was sent. Nothing is written where the saga has gone on
    since: then the broker had accepted the message after all, and the saga may wait for a later one
    of the same epoch.
    """
    this = (t.saga.c.id == saga.id, t.saga.c.epoch == saga.epoch, t.saga.c.sent_at == saga.sent_at)
    connection.execute(update(t.saga).where(*this).values(sent_at=None, turn=None))


def extend(
    connection: Connection, messages: Collection[tuple[UUID, int]], *, extension_s: float
) -> None:
    """Postpone the check of sagas whose messages a living worker has received.

    Each message is identified by its saga and its epoch: one of an older epoch proves nothing.
    """
    postponed = update(t.saga).where(
        t.saga.c.due_at < after_now(extension_s / 2),
        t.saga.c.sent_at.is_not(None),
        # A message that a worker has received does not suspend the deadline.
        or_(t.saga.c.deadline_at.is_(None), t.saga.c.deadline_at > after_now(extension_s)),
    )
    for some in chunked(messages):
        connection.execute(
            postponed.where(tuple_(t.saga.c.id, t.saga.c.epoch).in_(some)).values(
                due_at=after_now(extension_s)
            )
        )
