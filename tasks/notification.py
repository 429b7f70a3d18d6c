"""The notification service: sends a confirmation to the customer.

No order fails because a mail server is down.
"""

from sqlalchemy import Boolean, Column, Integer, String, Table, Text, insert, select
from sqlalchemy.orm import Session

from sagas import Context, StepFailed, step
from tasks.database import Database
from tasks.ledger import Ledger
from tasks.models import Mail, Order
from tasks.shipping import create_shipment

__all__ = ["customer", "database", "ledger", "mail_server", "outbox", "send_notification"]

database = Database("notification")
ledger = Ledger(database, unit=Integer())

customer = Table(
    "customer",
    database.metadata,
    Column("customer_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(200), nullable=False),
)
mail_server = Table(
    "mail_server",
    database.metadata,
    Column("domain", String(200), primary_key=True),
    Column("up", Boolean, nullable=False),
)
outbox = Table(
    "outbox",
    database.metadata,
    Column("order_id", String(64), primary_key=True),
    Column("recipient", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("body", Text, nullable=False),
)

BODY = """\
Dear {name},

thank you for your order {order.order_id}. {order.amount_due} EUR were charged.
{parcel.carrier} brings it to you; the tracking number is {parcel.tracking_number}.
"""


@step(name="notification.send", queue="notification", timeout=60)
def send_notification(order: Order, ctx: Context) -> Mail:
    """Hand the confirmation to the customer's mail server."""
    with database.begin() as session:
        return ctx.once(session, lambda: _send(session, order, ctx))


def _send(session: Session, order: Order, ctx: Context) -> Mail:
    name, email = _recipient(session, order.customer_id)
    parcel = ctx.output_of(create_shipment)
    mail = Mail(recipient=email, subject=f"Your order {order.order_id}")
    body = BODY.format(name=name, order=order, parcel=parcel)
    row = {"order_id": order.order_id, "body": body} | mail.model_dump()
    session.execute(insert(outbox).values(row))
    ledger.book(session, ctx, order.order_id, {order.order_id: 1})
    return mail


def _recipient(session: Session, customer_id: str) -> tuple[str, str]:
    query = select(customer).where(customer.c.customer_id == customer_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise StepFailed(f"{customer_id} has no email address", code="UNKNOWN_CUSTOMER")
    _, _, domain = found.email.rpartition("@")
    if not session.scalar(select(mail_server.c.up).where(mail_server.c.domain == domain)):
        raise StepFailed(f"the mail server of {domain} is down", code="MAIL_SERVER_DOWN")
    return found.name, found.email
