"""The order service: records orders and cancels them."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from sagas import CompensationContext, Context, StepFailed, step
from tasks.database import Database, Money, matched
from tasks.ledger import Ledger, inconsistent
from tasks.models import Confirmation, Order

__all__ = ["cancel_order", "create_order", "database", "ledger", "lines", "orders", "place"]

database = Database("order")
ledger = Ledger(database, unit=Integer())

orders = Table(
    "orders",
    database.metadata,
    Column("order_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("total_amount", Money, nullable=False),
    Column("points_to_use", Integer, nullable=False),
    CheckConstraint("status IN ('placed', 'created', 'cancelled')"),
)
lines = Table(
    "line",
    database.metadata,
    Column("order_id", ForeignKey(orders.c.order_id), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("price", Money, nullable=False),
)


@step(name="order.create", queue="order", timeout=60)
def create_order(order: Order, ctx: Context) -> Confirmation:
    """Record every line of the order that the shop placed."""
    with database.begin() as session:
        return ctx.once(session, lambda: _create(session, order, ctx))


@create_order.compensation(name="order.cancel")
def cancel_order(order: Order, ctx: CompensationContext[Confirmation]) -> None:
    """Cancel the order; its lines stay readable."""
    with database.begin() as session:
        ctx.once(session, lambda: _cancel(session, order, ctx))


def place(session: Session, order: Order) -> None:
    """Insert an order's row if it is missing; the order is *placed* until its saga creates it."""
    if session.scalar(select(orders.c.status).where(orders.c.order_id == order.order_id)) is None:
        row = order.model_dump(include={"order_id", "customer_id", "total_amount", "points_to_use"})
        session.execute(insert(orders).values(row | {"status": "placed"}))


def _create(session: Session, order: Order, ctx: Context) -> Confirmation:
    place(session, order)  # done by the shop, but not by a person who starts a saga by hand
    if not _move(session, order, "placed", "created"):
        raise StepFailed(f"{order.order_id} is not waiting to be created", code="NOT_PLACED")
    rows = [{"order_id": order.order_id} | item.model_dump() for item in order.items]
    session.execute(insert(lines), rows)
    ledger.book(session, ctx, order.order_id, {order.order_id: len(order.items)})
    return Confirmation(order_id=order.order_id, lines=len(order.items))


def _cancel(session: Session, order: Order, ctx: Context) -> None:
    ledger.reverse(session, ctx, order.order_id)
    if not _move(session, order, "created", "cancelled"):
        raise inconsistent(f"cannot cancel {order.order_id}: it was not created")


def _move(session: Session, order: Order, before: str, after: str) -> bool:
    own = (orders.c.order_id == order.order_id) & (orders.c.status == before)
    return matched(session, update(orders).where(own).values(status=after))
