"""The inventory service: reserves stock for orders. No piece is ever promised twice."""

from sqlalchemy import CheckConstraint, Column, ColumnElement, Integer, String, Table, update
from sqlalchemy.orm import Session

from sagas import CompensationContext, Context, StepFailed, step
from tasks.database import Database, matched
from tasks.ledger import Ledger, inconsistent
from tasks.models import Item, Order, Reservation

__all__ = ["RESERVED", "database", "ledger", "release_inventory", "reserve_inventory", "stock"]

#: The counterparty of a reservation: the ledger's entries of one order add up to zero.
RESERVED = "reserved"

database = Database("inventory")
ledger = Ledger(database, unit=Integer())

stock = Table(
    "stock",
    database.metadata,
    Column("product_id", String(64), primary_key=True),
    Column("received", Integer, nullable=False),
    Column("on_hand", Integer, CheckConstraint("on_hand >= 0"), nullable=False),
    Column("reserved", Integer, CheckConstraint("reserved >= 0"), nullable=False, default=0),
)


@step(name="inventory.reserve", queue="inventory", timeout=60)
def reserve_inventory(order: Order, ctx: Context) -> Reservation:
    """Reserve every item of the order, or none of them."""
    with database.begin() as session:
        return ctx.once(session, lambda: _reserve(session, order, ctx))


@reserve_inventory.compensation(name="inventory.release")
def release_inventory(order: Order, ctx: CompensationContext[Reservation]) -> None:
    """Put back what was reserved."""
    with database.begin() as session:
        ctx.once(session, lambda: _release(session, order, ctx))


def _reserve(session: Session, order: Order, ctx: Context) -> Reservation:
    # Products are always locked in the same order, so that two orders never deadlock.
    for item in sorted(order.items, key=lambda item: item.product_id):
        _take(session, item)
    taken = {item.product_id: -item.quantity for item in order.items}
    pieces = -sum(taken.values())
    ledger.book(session, ctx, order.order_id, taken | {RESERVED: pieces})
    return Reservation(order_id=order.order_id, pieces=pieces)


def _take(session: Session, item: Item) -> None:
    # The condition is part of the UPDATE: after a separate check, another order could be faster.
    enough = (stock.c.product_id == item.product_id) & (stock.c.on_hand >= item.quantity)
    if not _shift(session, enough, item.quantity):
        raise StepFailed(f"fewer than {item.quantity} {item.product_id} left", code="OUT_OF_STOCK")


def _release(session: Session, order: Order, ctx: Context) -> None:
    back = ledger.reverse(session, ctx, order.order_id)
    for product_id in sorted(back.keys() - {RESERVED}):
        quantity = int(back[product_id])
        reserved = (stock.c.product_id == product_id) & (stock.c.reserved >= quantity)
        if not _shift(session, reserved, -quantity):
            raise inconsistent(f"cannot release {quantity} {product_id}: fewer are reserved")


def _shift(session: Session, where: ColumnElement[bool], quantity: int) -> bool:
    """Move pieces from the shelf to the reserved ones; tell whether the condition held."""
    shifted = {"on_hand": stock.c.on_hand - quantity, "reserved": stock.c.reserved + quantity}
    return matched(session, update(stock).where(where).values(shifted))
