"""Runs the application's steps one by one in this process, on real tables, through the barrier."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import select

from sagas import Context, Operation, StepDefinition, StepFailed
from sagas.testing import action_context, compensation_context
from tasks import inventory, notification, points, shipping
from tasks import order as orders
from tasks.models import Address, Item, Order, Shipment
from tasks.payment import charge, refund

Action = StepDefinition[Any, Any]
Compensation = Callable[[Order, Any], None]

PLAN: tuple[tuple[Action, Compensation | None], ...] = (
    (orders.create_order, orders.cancel_order),
    (inventory.reserve_inventory, inventory.release_inventory),
    (charge, refund),
    (points.deduct_points, points.restore_points),
    (shipping.create_shipment, shipping.cancel_shipment),
    (points.award_points, points.revoke_points),
    (notification.send_notification, None),
)
UNDO = dict(PLAN)


def make_order(**changes: Any) -> Order:
    """Return a small valid order of an ordinary customer, with some fields changed."""
    items = changes.get("items", (Item(product_id="P-100", quantity=2, price=Decimal("18.90")),))
    address = {"name": "Anna Schmidt", "street": "Lindenstraße 12", "city": "Berlin"}
    order = {
        "order_id": "ORD-1",
        "customer_id": "C-001",
        "items": items,
        "total_amount": sum((item.price * item.quantity for item in items), Decimal()),
        "payment_method": "card",
        "points_to_use": 0,
        "shipping_address": Address(**address, postcode="10969", country="DE"),
    }
    return Order.model_validate(order | changes)


def do(action: Action, order: Order) -> Any:
    """Run one action of an order, as its saga would."""
    return action(order, _context(action, order, Operation.ACTION))


def undo(action: Action, order: Order) -> None:
    """Run the compensation of one action, as its saga would if it had lost the action's output."""
    compensation = UNDO[action]
    assert compensation is not None
    compensation(order, _context(action, order, Operation.COMPENSATION))


def run(order: Order) -> tuple[str, str | None]:
    """Run a whole order; return how it ended, and the code of its refusal, if any."""
    done: list[Action] = []
    for action, _ in PLAN:
        if action is points.deduct_points and not order.points_to_use:
            continue
        code = refusal(action, order)
        if action is notification.send_notification:
            return "COMPLETED", code
        if code is not None:
            for earlier in reversed(done):
                undo(earlier, order)
            return "COMPENSATED", code
        done.append(action)
    raise AssertionError("the last step ends the order")


def refusal(action: Action, order: Order) -> str | None:
    """Return the code with which an action refuses an order, or None if it accepts it."""
    try:
        do(action, order)
    except StepFailed as failure:
        return failure.code
    return None


def ledger_of(service: Any) -> list[tuple[str, str, str, Decimal | int]]:
    """Return the ledger of a service: step, op, subject, amount."""
    rows = service.database.read(select(service.ledger.table))
    return [(row.step, row.op, row.subject, row.amount) for row in rows]


def _context(action: Action, order: Order, operation: Operation) -> Context:
    parcel = Shipment(carrier="Rhein Express", tracking_number=f"DE-{order.order_id}")
    build = action_context if operation is Operation.ACTION else compensation_context
    return build(
        action,
        key=order.order_id,
        outputs={shipping.create_shipment: parcel},
        saga_id=uuid5(NAMESPACE_OID, order.order_id),
    )
