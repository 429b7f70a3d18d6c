"""The ledger: an append-only list of a service's effects, written in their own transactions.

Tables hold the current state and change; the ledger holds what has happened and only grows. A
compensation finds in it what to undo, even if the action's output was lost, and an audit can count
every effect.
"""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Column, DateTime, Index, Integer, String, Table, func, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from sagas import Context, StepFailed
from tasks.database import Database

__all__ = ["Ledger", "inconsistent"]

Amounts = Mapping[str, Decimal] | Mapping[str, int]


class Ledger:
    """One service's ledger: each entry says that a *subject* changed by an *amount*."""

    def __init__(self, database: Database, unit: TypeEngine[Decimal] | TypeEngine[int]) -> None:
        self.database = database
        self.table = Table(
            "ledger",
            database.metadata,
            Column("id", Integer, primary_key=True),
            Column("saga_id", String(36), nullable=False),
            Column("order_id", String(64), nullable=False, index=True),
            Column("step", String(64), nullable=False),
            Column("op", String(16), nullable=False),
            Column("key", String(200), nullable=False),
            Column("subject", String(64), nullable=False),
            Column("amount", unit, nullable=False),
            Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
            Index("ledger_saga_step", "saga_id", "step"),
        )

    def book(self, session: Session, ctx: Context, order_id: str, amounts: Amounts) -> None:
        """Record what this attempt did, with one entry for each subject."""
        origin = {"saga_id": str(ctx.saga_id), "order_id": order_id, "step": ctx.step}
        entry = origin | {"op": ctx.operation, "key": ctx.idempotency_key}
        entries = [entry | {"subject": name, "amount": amount} for name, amount in amounts.items()]
        session.execute(insert(self.table), entries)

    def reverse(self, session: Session, ctx: Context, order_id: str) -> dict[str, Decimal | int]:
        """Record that an action is undone; return what each subject gets back.

        Raises:
            StepFailed: the action left no entry, or was undone before; a person must look into it.
        """
        of_step = (self.table.c.saga_id == str(ctx.saga_id)) & (self.table.c.step == ctx.step)
        entries = session.execute(select(self.table).where(of_step)).all()
        if {(entry.op, entry.key) for entry in entries} != {("action", ctx.action_key)}:
            raise inconsistent(f"cannot undo {ctx.step} of {order_id}: it is not in effect")
        back = {entry.subject: -entry.amount for entry in entries}
        self.book(session, ctx, order_id, back)
        return back


def inconsistent(message: str) -> StepFailed:
    """Return the error of a compensation that finds an impossible state: a retry would not help."""
    return StepFailed(message, code="INCONSISTENT")
