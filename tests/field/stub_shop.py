"""A shop that plans a step of another code base: it has a stub, whose body never runs."""

import os
from decimal import Decimal

from celery import Celery
from pydantic import BaseModel

import sagas
from sagas import CompensationContext, Context, Saga, step

__all__ = ["Order", "Receipt", "app", "charge", "order_saga"]

app = Celery("shop", broker=os.environ["STUB_BROKER_URL"])
app.conf.update(
    saga_database_url=os.environ["STUB_DATABASE_URL"],
    saga_namespace="shop",
    broker_connection_retry_on_startup=True,
)
sagas.setup(app)


class Order(BaseModel):
    """What the shop knows of an order."""

    id: str
    total: Decimal
    full: bool = False


class Receipt(BaseModel):
    """What the payment service returns."""

    number: str


@step(name="payment.charge", queue="payment")
def charge(order: Order) -> Receipt:
    """Stand for the action of the payment service."""
    raise NotImplementedError("payment.charge runs in the payment service")


@charge.compensation
def refund(order: Order, ctx: CompensationContext[Receipt]) -> None:
    """Stand for its compensation."""
    raise NotImplementedError("payment.charge.compensation runs in the payment service")


@step(name="shop.pack", read_only=True)
def pack(order: Order, ctx: Context) -> str:
    """Use what the payment service returned."""
    if order.full:
        raise sagas.StepFailed("no room", code="FULL")
    return f"packed with {ctx.output_of(charge).number}"


order_saga = Saga("order", input=Order, steps=[charge, pack])
