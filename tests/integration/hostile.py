"""A saga in the middle of its run, and what an attacker may do to it."""

from sagas import SagaHandle
from tests.support.driver import Driver
from tests.support.shop import Order, order_saga

__all__ = ["fails", "in_the_middle"]


def fails(message: object, *_: object) -> None:
    raise RuntimeError(message)


def in_the_middle(driver: Driver) -> SagaHandle:
    """Start a saga whose first step is done and whose second step is next."""
    handle = order_saga.start(Order(), key="ORD-1")
    driver.run_one()
    return handle
