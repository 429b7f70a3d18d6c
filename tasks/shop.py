"""The shop: what a web request would call."""

from sagas import SagaHandle
from tasks import order
from tasks.models import Order
from tasks.order_saga import order_saga

__all__ = ["place_order"]


def place_order(request: Order) -> SagaHandle:
    """Write the order's row and start its saga in one transaction: never one without the other.

    An order that is placed twice is one order. The shop does not wait for the outcome.

    Raises:
        KeyConflict: another order has this id.
    """
    with order.database.begin() as session:
        # The saga comes first: its unique key makes a second request for the order wait.
        handle = order_saga.start(request, key=request.order_id, session=session)
        order.place(session, request)
    return handle
