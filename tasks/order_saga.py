"""The order saga: its steps in order, and which of them an order can do without."""

from datetime import timedelta

from sagas import Saga, Step
from tasks.inventory import reserve_inventory
from tasks.models import Order
from tasks.notification import send_notification
from tasks.order import create_order
from tasks.payment import charge
from tasks.points import award_points, deduct_points
from tasks.shipping import create_shipment

__all__ = ["order_saga"]

order_saga = Saga(
    "order",
    input=Order,
    steps=[
        create_order,
        reserve_inventory,
        charge,
        Step(deduct_points, when=lambda order: order.points_to_use > 0),
        create_shipment,
        award_points,
        Step(send_notification, best_effort=True),
    ],
    deadline=timedelta(minutes=30),
)
