"""The sample ships with the repository, and its data alone determine how each order ends."""

import json
import math
from collections import Counter
from decimal import Decimal

import pytest

from tasks import sample
from tasks.conservation import verify
from tasks.models import Order
from tasks.seed import read
from tests.tasks.runs import run

ORDERS = list(sample.orders())
ENDS = {order.order_id: sample.expected_end(order.order_id) for order in ORDERS}
REFUSED = [order for order in ORDERS if ENDS[order.order_id][0] == "COMPENSATED"]


def test_the_file_is_what_the_script_generates() -> None:
    assert sample.ORDERS.read_text(encoding="utf-8") == sample.render()


def test_every_order_of_the_file_is_valid() -> None:
    bodies = json.loads(sample.ORDERS.read_text(encoding="utf-8"))
    assert [Order.model_validate(body) for body in bodies] == ORDERS


def test_there_are_enough_orders_and_three_in_four_succeed() -> None:
    assert len({order.order_id for order in ORDERS}) >= 200
    assert len(REFUSED) * 4 == len(ORDERS)


def test_every_reason_occurs_equally_often() -> None:
    reasons = Counter(ENDS[order.order_id][1] for order in REFUSED)
    assert reasons == dict.fromkeys(sample.REFUSALS, 10)


def test_some_mail_servers_are_down_and_some_customers_use_points_or_invoices() -> None:
    completing = [order for order in ORDERS if order not in REFUSED]
    down = [order for order in completing if ENDS[order.order_id][1] == sample.MAIL_DOWN]
    assert len(down) == 20
    assert sum(order.points_to_use > 0 for order in completing) > 20
    assert sum(order.payment_method == "invoice" for order in completing) > 5


def test_every_price_matches_the_catalogue() -> None:
    prices = {row["product_id"]: Decimal(row["price"]) for row in read("products")}
    for order in ORDERS:
        assert all(item.price == prices[item.product_id] for item in order.items)


def test_no_refusal_depends_on_the_sequence_of_the_orders() -> None:
    """All orders together need more than there is only where a shortage is intended."""
    pieces, money, points = Counter[str](), Counter[str](), Counter[str]()
    for order in ORDERS:
        pieces.update({item.product_id: item.quantity for item in order.items})
        money[order.customer_id] += math.ceil(order.total_amount)
        points[order.customer_id] += order.points_to_use
    for row in read("products"):
        asked = pieces[row["product_id"]]
        assert (asked > int(row["stock"])) == (row["product_id"] in sample.SCARCE)
    for row in read("customers"):
        name = row["customer_id"]
        poor = name in sample.CUSTOMERS["INSUFFICIENT_BALANCE"]
        assert (money[name] > Decimal(row["balance"])) == poor
        assert (points[name] > int(row["points"])) == (
            name in sample.CUSTOMERS["NOT_ENOUGH_POINTS"]
        )


def test_no_award_makes_up_for_missing_points() -> None:
    for customer_id in sample.CUSTOMERS["NOT_ENOUGH_POINTS"]:
        asked = [order for order in ORDERS if order.customer_id == customer_id]
        assert all(order in REFUSED for order in asked)


@pytest.mark.usefixtures("any_shop")
def test_every_order_ends_as_the_data_say_and_everything_is_conserved() -> None:
    ends = {order.order_id: run(order) for order in reversed(ORDERS)}

    assert ends == ENDS
    report = verify({order_id: status for order_id, (status, _) in ends.items()})
    assert report.violations == ()
    assert report.orders == len(ORDERS)
    assert [total.what for total in report.totals] == ["stock", "money", "points"]
    assert all(total.before == total.now for total in report.totals)
