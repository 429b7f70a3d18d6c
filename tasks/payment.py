"""The payment service: moves money from customers to the merchant, and back."""

from sqlalchemy import Boolean, CheckConstraint, Column, String, Table, select, update
from sqlalchemy.orm import Session

from sagas import CompensationContext, Context, Retry, StepFailed, step
from tasks.database import Database, Money, matched
from tasks.ledger import Ledger, inconsistent
from tasks.models import Order, Payment

__all__ = ["MERCHANT", "account", "charge", "database", "ledger", "method", "refund"]

#: The merchant's balance is the sum of its ledger entries. A row with a balance would make every
#: payment wait for the one before.
MERCHANT = "merchant"

database = Database("payment")
ledger = Ledger(database, unit=Money())

account = Table(
    "account",
    database.metadata,
    Column("customer_id", String(64), primary_key=True),
    Column("opening", Money, nullable=False),
    Column("balance", Money, CheckConstraint("balance >= 0"), nullable=False),
)
method = Table(
    "method",
    database.metadata,
    Column("customer_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("accepted", Boolean, nullable=False),
    Column("order_limit", Money, nullable=False),
)


@step(
    name="payment.charge",
    queue="payment",
    retry=Retry(max_attempts=4, wait_initial=0.2),
    timeout=60,
)
def charge(order: Order, ctx: Context) -> Payment:
    """Take what is due from the customer's account if the chosen method allows it."""
    with database.begin() as session:
        return ctx.once(session, lambda: _charge(session, order, ctx))


@charge.compensation(name="payment.refund")
def refund(order: Order, ctx: CompensationContext[Payment]) -> None:
    """Give back what was taken."""
    with database.begin() as session:
        ctx.once(session, lambda: _refund(session, order, ctx))


def _charge(session: Session, order: Order, ctx: Context) -> Payment:
    due, customer = order.amount_due, order.customer_id
    _check_method(session, order)
    covered = (account.c.customer_id == customer) & (account.c.balance >= due)
    taken = update(account).where(covered).values(balance=account.c.balance - due)
    if not matched(session, taken):
        raise StepFailed(f"{customer} does not have {due} EUR", code="INSUFFICIENT_BALANCE")
    ledger.book(session, ctx, order.order_id, {customer: -due, MERCHANT: due})
    return Payment(order_id=order.order_id, method=order.payment_method, amount=due)


def _check_method(session: Session, order: Order) -> None:
    customer, name = order.customer_id, order.payment_method
    chosen = (method.c.customer_id == customer) & (method.c.name == name)
    found = session.execute(select(method).where(chosen)).one_or_none()
    if found is None:
        raise StepFailed(f"{customer} cannot pay by {name}", code="UNKNOWN_METHOD")
    if not found.accepted:
        raise StepFailed(f"{name} of {customer} is declined", code="PAYMENT_DECLINED")
    if order.amount_due > found.order_limit:
        raise StepFailed(f"{name} is limited to {found.order_limit} EUR", code="LIMIT_EXCEEDED")


def _refund(session: Session, order: Order, ctx: Context) -> None:
    back = ledger.reverse(session, ctx, order.order_id)[order.customer_id]
    own = account.c.customer_id == order.customer_id
    given = update(account).where(own).values(balance=account.c.balance + back)
    if not matched(session, given):
        raise inconsistent(f"cannot refund {back} EUR: {order.customer_id} has no account")
