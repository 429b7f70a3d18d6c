"""The shipping service: hands parcels to the carrier of their country."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from sagas import CompensationContext, Context, StepFailed, step
from tasks.database import Database, matched
from tasks.ledger import Ledger, inconsistent
from tasks.models import Address, Order, Shipment

__all__ = ["cancel_shipment", "carrier", "create_shipment", "database", "ledger", "shipment"]

database = Database("shipping")
ledger = Ledger(database, unit=Integer())

carrier = Table(
    "carrier",
    database.metadata,
    Column("country", String(2), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("postcode_required", Boolean, nullable=False),
)
shipment = Table(
    "shipment",
    database.metadata,
    Column("order_id", String(64), primary_key=True),
    Column("carrier", String(64), nullable=False),
    Column("tracking_number", String(80), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    CheckConstraint("status IN ('created', 'cancelled')"),
)


@step(name="shipping.create", queue="shipping", timeout=60)
def create_shipment(order: Order, ctx: Context) -> Shipment:
    """Hand the parcel to the carrier that serves the address."""
    with database.begin() as session:
        return ctx.once(session, lambda: _create(session, order, ctx))


@create_shipment.compensation(name="shipping.cancel")
def cancel_shipment(order: Order, ctx: CompensationContext[Shipment]) -> None:
    """Call the parcel back; its tracking number is kept."""
    with database.begin() as session:
        ctx.once(session, lambda: _cancel(session, order, ctx))


def _create(session: Session, order: Order, ctx: Context) -> Shipment:
    name = _carrier_to(session, order.shipping_address)
    parcel = Shipment(
        carrier=name, tracking_number=f"{order.shipping_address.country}-{order.order_id}"
    )
    session.execute(
        insert(shipment).values(order_id=order.order_id, status="created", **parcel.model_dump())
    )
    ledger.book(session, ctx, order.order_id, {order.order_id: 1})
    return parcel


def _carrier_to(session: Session, address: Address) -> str:
    found = session.execute(
        select(carrier).where(carrier.c.country == address.country)
    ).one_or_none()
    if found is None:
        raise StepFailed(f"no carrier delivers to {address.country}", code="UNDELIVERABLE_ADDRESS")
    if found.postcode_required and not address.postcode:
        raise StepFailed(
            f"{found.name} needs a postcode in {address.country}", code="UNDELIVERABLE_ADDRESS"
        )
    return str(found.name)


def _cancel(session: Session, order: Order, ctx: Context) -> None:
    ledger.reverse(session, ctx, order.order_id)
    under_way = (shipment.c.order_id == order.order_id) & (shipment.c.status == "created")
    if not matched(session, update(shipment).where(under_way).values(status="cancelled")):
        raise inconsistent(f"cannot cancel the shipment of {order.order_id}: none is under way")
