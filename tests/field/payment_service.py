"""The payment service, a code base of its own: it knows its steps, and no saga."""

import os
from decimal import Decimal
from pathlib import Path

from celery import Celery
from pydantic import BaseModel

import sagas
from sagas import CompensationContext, Context, step

__all__ = ["app"]

app = Celery("payment", broker=os.environ["STUB_BROKER_URL"])
app.conf.update(
    saga_database_url=os.environ["STUB_DATABASE_URL"],
    saga_namespace="shop",
    broker_connection_retry_on_startup=True,
)
sagas.setup(app)

LEDGER = Path(os.environ["STUB_LEDGER"])


class Payable(BaseModel):
    """What this service reads of any input."""

    id: str
    total: Decimal


class Receipt(BaseModel):
    """What it returns."""

    number: str


@step(name="payment.charge", queue="payment")
def charge(order: Payable, ctx: Context) -> Receipt:
    """Take the money."""
    with LEDGER.open("a") as ledger:
        ledger.write(f"charged {order.total} for {ctx.key}\n")
    return Receipt(number=f"R-{order.id}")


@charge.compensation
def refund(order: Payable, ctx: CompensationContext[Receipt]) -> None:
    """Give it back."""
    number = ctx.output.number if ctx.output else "?"
    with LEDGER.open("a") as ledger:
        ledger.write(f"refunded {order.total} of {number} for {ctx.key}\n")
