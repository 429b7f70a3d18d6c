"""A small application for the integration tests: orders, and a saga over them."""

from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy import Column, MetaData, String, Table

from sagas import Context, Retry, Saga, Step, step
from sagas.runtime.messages import TURN_BACK

__all__ = [
    "CHARGE",
    "EVERY_TASK",
    "NOTIFY",
    "REFUND",
    "RELEASE",
    "REPORT",
    "RESERVE",
    "Order",
    "charge",
    "metadata",
    "notify",
    "order_saga",
    "orders",
    "patient_saga",
    "quiet_saga",
    "reserve",
    "shared_saga",
]

metadata = MetaData()
orders = Table("shop_order", metadata, Column("id", String(40), primary_key=True))


class Order(BaseModel):
    """What is ordered."""

    id: str = "ORD-1"
    total: Decimal = Decimal("1.10")
    notify: bool = True
    tags: set[int] = set()


@step(name="shop.reserve")
def reserve(order: Order) -> str:
    """Reserve the stock."""
    return f"reserved {order.id}"


@reserve.compensation()
def release(order: Order, ctx: Context) -> None:
    """Release the stock."""


@step(name="shop.charge")
def charge(order: Order, ctx: Context) -> Decimal:
    """Charge the card."""
    return order.total if ctx.attempt else Decimal(0)


@charge.compensation()
def refund(order: Order, ctx: Context) -> None:
    """Refund the payment."""


@step(name="shop.notify")
def notify(order: Order) -> None:
    """Notify the customer."""


RESERVE, CHARGE, NOTIFY = reserve.name, charge.name, notify.name
RELEASE, REFUND = f"{RESERVE}.compensation", f"{CHARGE}.compensation"
EVERY_TASK = (RESERVE, CHARGE, NOTIFY, RELEASE, REFUND, TURN_BACK)

order_saga = Saga(
    "shop.order",
    input=Order,
    steps=[
        reserve,
        charge,
        Step(notify, when=lambda order: order.notify, best_effort=True),
    ],
)

quiet_saga = Saga("shop.quiet", input=Order, steps=[Step(notify, when=lambda order: order.notify)])

shared_saga = Saga("shop.other", input=Order, steps=[reserve])

REPORT = "shop.report"

patient_saga = Saga(
    "shop.patient",
    input=Order,
    steps=[Step(reserve, name=REPORT, retry=Retry(max_attempts=3, wait_initial=3600))],
)
