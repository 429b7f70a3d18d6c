"""The application of these tests: one saga of two steps.

Run by a worker, it takes its broker and its record from the environment.
"""

import os

from celery import Celery
from pydantic import BaseModel

import sagas
from sagas import Saga, StepFailed, step

__all__ = ["Order", "app", "order"]

app = Celery(
    "database_shop", broker=os.environ.get("SHOP_BROKER", "memory://"), set_as_current=False
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.01},
    saga_database_url=os.environ.get("SHOP_RECORD"),
)
if "SHOP_RECORD" in os.environ:
    sagas.setup(app)


class Order(BaseModel):
    """An order; its card may be declined."""

    id: str
    declined: bool = False


@step(name="database.reserve")
def reserve(order: Order) -> str:
    """Reserve the goods."""
    return f"R-{order.id}"


@reserve.compensation()
def release(order: Order) -> None:
    """Release the goods."""
    del order


@step(name="database.charge")
def charge(order: Order) -> None:
    """Charge the card."""
    if order.declined:
        raise StepFailed("The card was declined.", code="DECLINED")


order = Saga("database.order", input=Order, steps=[reserve, charge])
