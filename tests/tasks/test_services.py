"""The rules of every service, on its real tables."""

from decimal import Decimal
from typing import Any, cast

import pytest
from sqlalchemy import Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from sagas import StepFailed
from tasks import inventory, notification, payment, points, shipping
from tasks import order as orders
from tasks.models import Address, Item, Mail, Order, Payment, Reservation, Shipment
from tests.tasks.runs import do, ledger_of, make_order, refusal, undo

pytestmark = pytest.mark.usefixtures("shop")


def stock_of(product_id: str) -> tuple[int, int]:
    row = _one(inventory, inventory.stock, inventory.stock.c.product_id == product_id)
    return row.on_hand, row.reserved


def money_of(customer_id: str) -> Decimal:
    table = payment.account
    balance: Decimal = _one(payment, table, table.c.customer_id == customer_id).balance
    return balance


def points_of(customer_id: str) -> int:
    table = points.account
    balance: int = _one(points, table, table.c.customer_id == customer_id).balance
    return balance


def status_of(order_id: str) -> str:
    status: str = _one(orders, orders.orders, orders.orders.c.order_id == order_id).status
    return status


def _one(service: Any, table: Any, where: Any) -> Row[Any]:
    (row,) = service.database.read(select(table).where(where))
    return cast("Row[Any]", row)


def of_product(product_id: str, quantity: int, price: str = "10.00") -> Order:
    return make_order(items=(Item(product_id=product_id, quantity=quantity, price=Decimal(price)),))


def to(country: str, postcode: str | None) -> Order:
    address = Address(name="A", street="B 1", city="C", postcode=postcode, country=country)
    return make_order(shipping_address=address)


# Order.


def test_an_order_is_recorded_with_all_its_lines() -> None:
    order = make_order()
    with orders.database.begin() as session:
        orders.place(session, order)
    assert status_of("ORD-1") == "placed"

    do(orders.create_order, order)

    assert status_of("ORD-1") == "created"
    (line,) = orders.database.read(select(orders.lines))
    assert line == ("ORD-1", "P-100", 2, Decimal("18.90"))


def test_a_cancelled_order_stays_readable() -> None:
    do(orders.create_order, make_order())
    undo(orders.create_order, make_order())
    assert status_of("ORD-1") == "cancelled"
    assert len(orders.database.read(select(orders.lines))) == 1


def test_an_order_that_is_not_placed_is_not_created() -> None:
    with orders.database.begin() as session:
        orders.place(session, make_order())
        session.execute(update(orders.orders).values(status="cancelled"))
    assert refusal(orders.create_order, make_order()) == "NOT_PLACED"


# Inventory.


def test_stock_is_reserved_and_released() -> None:
    order = of_product("P-100", 3)
    assert do(inventory.reserve_inventory, order) == Reservation(order_id="ORD-1", pieces=3)
    assert stock_of("P-100") == (397, 3)
    undo(inventory.reserve_inventory, order)
    assert stock_of("P-100") == (400, 0)


def test_the_last_piece_can_be_reserved_but_not_one_more() -> None:
    assert refusal(inventory.reserve_inventory, of_product("P-900", 3)) == "OUT_OF_STOCK"
    assert refusal(inventory.reserve_inventory, of_product("P-900", 2)) is None
    assert stock_of("P-900") == (0, 2)


def test_an_order_with_one_missing_product_reserves_nothing() -> None:
    there = Item(product_id="P-100", quantity=1, price=Decimal("1.00"))
    missing = Item(product_id="P-901", quantity=1, price=Decimal("1.00"))
    order = make_order(items=(there, missing))
    assert refusal(inventory.reserve_inventory, order) == "OUT_OF_STOCK"
    assert stock_of("P-100") == (400, 0)
    assert ledger_of(inventory) == []


def test_an_unknown_product_is_out_of_stock() -> None:
    assert refusal(inventory.reserve_inventory, of_product("P-0", 1)) == "OUT_OF_STOCK"


def test_the_table_itself_refuses_negative_stock() -> None:
    with pytest.raises(IntegrityError), inventory.database.begin() as session:
        session.execute(update(inventory.stock).values(on_hand=-1))


def test_releasing_more_than_is_reserved_asks_for_a_person() -> None:
    do(inventory.reserve_inventory, of_product("P-100", 3))
    with inventory.database.begin() as session:
        session.execute(update(inventory.stock).values(reserved=2))
    with pytest.raises(StepFailed, match="fewer are reserved"):
        undo(inventory.reserve_inventory, of_product("P-100", 3))


# Payment.


def test_money_goes_to_the_merchant_and_back() -> None:
    order = make_order(points_to_use=7)
    paid = do(payment.charge, order)
    assert paid == Payment(order_id="ORD-1", method="card", amount=Decimal("30.80"))
    assert money_of("C-001") == Decimal("8969.20")
    undo(payment.charge, order)
    assert money_of("C-001") == Decimal("9000.00")
    assert ledger_of(payment) == [
        ("payment.charge", "action", "C-001", Decimal("-30.80")),
        ("payment.charge", "action", "merchant", Decimal("30.80")),
        ("payment.charge", "compensation", "C-001", Decimal("30.80")),
        ("payment.charge", "compensation", "merchant", Decimal("-30.80")),
    ]


def test_a_refund_adds_to_what_was_earned_meanwhile() -> None:
    do(payment.charge, make_order())
    with payment.database.begin() as session:
        session.execute(update(payment.account).values(balance=Decimal("50.00")))
    undo(payment.charge, make_order())
    assert money_of("C-001") == Decimal("87.80")


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (make_order(customer_id="C-041"), "PAYMENT_DECLINED"),
        (make_order(customer_id="C-044"), "INSUFFICIENT_BALANCE"),
        (make_order(payment_method="cheque"), "UNKNOWN_METHOD"),
        (make_order(customer_id="C-0"), "UNKNOWN_METHOD"),
        (make_order(customer_id="C-041", payment_method="invoice"), None),
    ],
)
def test_a_payment_needs_an_accepted_method_and_an_account_that_covers_it(
    order: Order, code: str | None
) -> None:
    before = ledger_of(payment)
    assert refusal(payment.charge, order) == code
    assert (ledger_of(payment) == before) == (code is not None)


def test_a_method_is_limited_by_the_amount_left_to_pay() -> None:
    dear = (Item(product_id="P-1", quantity=1, price=Decimal("250.01")),)
    order = make_order(items=dear, payment_method="invoice")
    assert refusal(payment.charge, order) == "LIMIT_EXCEEDED"
    with_points = make_order(items=dear, payment_method="invoice", points_to_use=1)
    assert refusal(payment.charge, with_points) is None


def test_a_refund_to_a_missing_account_asks_for_a_person() -> None:
    do(payment.charge, make_order())
    with payment.database.begin() as session:
        session.execute(delete(payment.account))
    with pytest.raises(StepFailed, match="has no account"):
        undo(payment.charge, make_order())


# Points.


def test_points_are_taken_and_returned() -> None:
    order = make_order(points_to_use=30)
    do(points.deduct_points, order)
    assert points_of("C-001") == 370
    undo(points.deduct_points, order)
    assert points_of("C-001") == 400


def test_a_customer_cannot_pay_with_points_they_do_not_have() -> None:
    poor = make_order(customer_id="C-047", points_to_use=13)
    assert refusal(points.deduct_points, poor) == "NOT_ENOUGH_POINTS"
    assert points_of("C-047") == 12


def test_points_are_awarded_and_revoked() -> None:
    order = of_product("P-600", 1, "489.00")
    do(points.award_points, order)
    assert points_of("C-001") == 404
    undo(points.award_points, order)
    assert points_of("C-001") == 400


def test_an_award_of_zero_points_is_still_an_effect_that_can_be_counted() -> None:
    do(points.award_points, make_order())
    assert [amount for *_, amount in ledger_of(points)] == [0, 0]


def test_points_that_are_already_spent_cannot_be_revoked() -> None:
    order = of_product("P-600", 1, "489.00")
    do(points.award_points, order)
    with points.database.begin() as session:
        session.execute(update(points.account).values(balance=3))
    with pytest.raises(StepFailed, match="C-001 has fewer"):
        undo(points.award_points, order)
    assert points_of("C-001") == 3


# Shipping.


def test_a_parcel_goes_to_the_carrier_of_its_country_and_can_be_recalled() -> None:
    parcel = do(shipping.create_shipment, make_order())
    assert parcel == Shipment(carrier="Rhein Express", tracking_number="DE-ORD-1")
    undo(shipping.create_shipment, make_order())
    (row,) = shipping.database.read(select(shipping.shipment))
    assert row.status == "cancelled"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (to("AQ", None), "UNDELIVERABLE_ADDRESS"),
        (to("DE", None), "UNDELIVERABLE_ADDRESS"),
        (to("DE", ""), "UNDELIVERABLE_ADDRESS"),
        (to("HK", None), None),
    ],
)
def test_a_parcel_needs_a_carrier_and_the_data_that_the_carrier_requires(
    order: Order, code: str | None
) -> None:
    assert refusal(shipping.create_shipment, order) == code


def test_a_parcel_that_is_not_in_transit_cannot_be_recalled() -> None:
    do(shipping.create_shipment, make_order())
    with shipping.database.begin() as session:
        session.execute(delete(shipping.shipment))
    with pytest.raises(StepFailed, match="none is under way"):
        undo(shipping.create_shipment, make_order())


# Notification.


def test_the_customer_is_told_the_amount_charged_and_how_to_track_the_parcel() -> None:
    mail = do(notification.send_notification, make_order(points_to_use=7))
    assert mail == Mail(recipient="anna.schmidt@post.example", subject="Your order ORD-1")
    (row,) = notification.database.read(select(notification.outbox))
    assert "Anna Schmidt" in row.body
    assert "30.80 EUR" in row.body
    assert "DE-ORD-1" in row.body


def test_nothing_is_sent_while_the_mail_server_is_down() -> None:
    order = make_order(customer_id="C-037")
    assert refusal(notification.send_notification, order) == "MAIL_SERVER_DOWN"
    assert notification.database.read(select(notification.outbox)) == []


def test_nothing_is_sent_to_an_unknown_customer() -> None:
    order = make_order(customer_id="C-0")
    assert refusal(notification.send_notification, order) == "UNKNOWN_CUSTOMER"
