import json
from decimal import Decimal

import pytest
from pydantic import ValidationError

from tasks.models import Item, Order
from tests.tasks.runs import make_order


def test_an_order_survives_json_to_the_cent() -> None:
    order = make_order(items=(Item(product_id="P-1", quantity=3, price=Decimal("0.10")),))

    again = Order.model_validate_json(order.model_dump_json())

    assert again == order
    assert again.total_amount == Decimal("0.30")
    assert json.loads(order.model_dump_json())["total_amount"] == "0.30"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"total_amount": Decimal("1.00")}, "add up to 37.80"),
        ({"total_amount": Decimal("37.801")}, "2 decimal places"),
        ({"items": (), "total_amount": Decimal(0)}, "at least 1 item"),
        ({"points_to_use": 38}, "more than the order's total"),
        ({"points_to_use": -1}, "greater than or equal to 0"),
        ({"order_id": ""}, "at least 1 character"),
        ({"currency": "EUR"}, "Extra inputs are not permitted"),
    ],
)
def test_an_order_that_does_not_add_up_is_refused(changes: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make_order(**changes)  # type: ignore[arg-type]  # the point is what is wrong


def test_an_item_has_a_positive_quantity_and_a_non_negative_price() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Item(product_id="P-1", quantity=0, price=Decimal("1.00"))
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Item(product_id="P-1", quantity=1, price=Decimal("-1.00"))


def test_a_product_is_listed_only_once() -> None:
    item = Item(product_id="P-1", quantity=1, price=Decimal("5.00"))
    with pytest.raises(ValidationError, match="listed twice"):
        make_order(items=(item, item))


def test_points_pay_for_part_of_the_order() -> None:
    assert make_order(points_to_use=7).amount_due == Decimal("30.80")


@pytest.mark.parametrize(
    ("price", "points"), [("99.99", 0), ("100.00", 1), ("199.99", 1), ("2500.00", 25)]
)
def test_an_order_earns_one_percent_in_whole_points(price: str, points: int) -> None:
    item = Item(product_id="P-1", quantity=1, price=Decimal(price))
    assert make_order(items=(item,)).points_earned == points
