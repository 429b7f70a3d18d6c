"""The points service: customers pay with loyalty points and earn new ones."""

from sqlalchemy import CheckConstraint, Column, Integer, String, Table, update
from sqlalchemy.orm import Session

from sagas import CompensationContext, Context, StepFailed, step
from tasks.database import Database, matched
from tasks.ledger import Ledger, inconsistent
from tasks.models import Order, PointsChange

__all__ = [
    "PROGRAMME",
    "account",
    "award_points",
    "database",
    "deduct_points",
    "ledger",
    "restore_points",
    "revoke_points",
]

#: Points come from the loyalty programme and return to it. Its balance is the sum of its entries.
PROGRAMME = "programme"

database = Database("points")
ledger = Ledger(database, unit=Integer())

account = Table(
    "account",
    database.metadata,
    Column("customer_id", String(64), primary_key=True),
    Column("opening", Integer, nullable=False),
    Column("balance", Integer, CheckConstraint("balance >= 0"), nullable=False),
)


@step(name="points.deduct", queue="points", timeout=60)
def deduct_points(order: Order, ctx: Context) -> PointsChange:
    """Take the points that the customer pays with."""
    with database.begin() as session:
        return ctx.once(session, lambda: _book(session, order, ctx, -order.points_to_use))


@deduct_points.compensation(name="points.restore")
def restore_points(order: Order, ctx: CompensationContext[PointsChange]) -> None:
    """Give back the points that the customer paid with."""
    with database.begin() as session:
        ctx.once(session, lambda: _reverse(session, order, ctx))


@step(name="points.award", queue="points", timeout=60)
def award_points(order: Order, ctx: Context) -> PointsChange:
    """Give the customer the points that the order earns."""
    with database.begin() as session:
        return ctx.once(session, lambda: _book(session, order, ctx, order.points_earned))


@award_points.compensation(name="points.revoke")
def revoke_points(order: Order, ctx: CompensationContext[PointsChange]) -> None:
    """Take back the points that the order earned; if they are spent, a person must decide."""
    with database.begin() as session:
        ctx.once(session, lambda: _reverse(session, order, ctx))


def _book(session: Session, order: Order, ctx: Context, points: int) -> PointsChange:
    customer = order.customer_id
    if not _change(session, customer, points):
        raise StepFailed(f"{customer} does not have {-points} points", code="NOT_ENOUGH_POINTS")
    ledger.book(session, ctx, order.order_id, {customer: points, PROGRAMME: -points})
    return PointsChange(customer_id=customer, points=points)


def _reverse(session: Session, order: Order, ctx: Context) -> None:
    customer = order.customer_id
    points = int(ledger.reverse(session, ctx, order.order_id)[customer])
    if not _change(session, customer, points):
        raise inconsistent(f"cannot take back {-points} points: {customer} has fewer")


def _change(session: Session, customer_id: str, points: int) -> bool:
    """Add points to an account, or take them if negative; tell whether there were enough."""
    enough = (account.c.customer_id == customer_id) & (account.c.balance + points >= 0)
    changed = update(account).where(enough).values(balance=account.c.balance + points)
    return matched(session, changed)
