"""The sample orders: ``python -m tasks.sample`` writes ``orders.json``, always the same.

Three orders in four succeed. Every fourth is refused, for each reason in turn. What refuses it is
in the shop's initial data, so that it is refused whenever and wherever it runs.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache

from tasks.models import Address, Item, Order
from tasks.seed import DATA, read

__all__ = ["MAIL_DOWN", "ORDERS", "REFUSALS", "expected_end", "orders", "render"]

COUNT = 240
ORDERS = DATA / "orders.json"

#: The reasons for a refusal, in the order in which they recur.
REFUSALS = (
    "OUT_OF_STOCK",
    "PAYMENT_DECLINED",
    "LIMIT_EXCEEDED",
    "INSUFFICIENT_BALANCE",
    "NOT_ENOUGH_POINTS",
    "UNDELIVERABLE_ADDRESS",
)

#: Not a refusal: these orders complete, and only their confirmation is not sent.
MAIL_DOWN = "MAIL_SERVER_DOWN"

# The customers who stand for a reason; the others are ordinary.
CUSTOMERS = {
    MAIL_DOWN: ("C-037", "C-038", "C-039", "C-040"),
    "PAYMENT_DECLINED": ("C-041", "C-042", "C-043"),
    "INSUFFICIENT_BALANCE": ("C-044", "C-045", "C-046"),
    "NOT_ENOUGH_POINTS": ("C-047", "C-048", "C-049"),
    "UNDELIVERABLE_ADDRESS": ("C-050", "C-051", "C-052"),
}
ORDINARY = tuple(f"C-{number:03}" for number in range(1, 37))
EVERYDAY = tuple(row["product_id"] for row in read("products") if row["product_id"] < "P-600")
PRECIOUS = ("P-600", "P-601", "P-602")
SCARCE = ("P-900", "P-901", "P-902")
SCARCE_QUANTITY = 5  # more than are ever in stock
INVOICE_LIMIT = next(
    Decimal(row["order_limit"]) for row in read("methods") if row["name"] == "invoice"
)


def orders() -> Iterator[Order]:
    """Make the sample orders."""
    return (_order(number) for number in range(COUNT))


def expected_end(order_id: str) -> tuple[str, str | None]:
    """Return how the saga of this sample order must end, and the reason that it meets."""
    reason = _reason(int(order_id.removeprefix("ORD-")) - 1)
    return "COMPENSATED" if reason in REFUSALS else "COMPLETED", reason


def _reason(number: int) -> str | None:
    if _every(4, number + 1):
        return _cycle(REFUSALS, number // 4)
    return MAIL_DOWN if _every(12, number + 7) else None


def _order(number: int) -> Order:
    reason = _reason(number)
    items = _basket(number, reason)
    total = sum((item.price * item.quantity for item in items), Decimal())
    customer = _customer(number, reason)
    return Order(
        order_id=f"ORD-{number + 1:04}",
        customer_id=customer,
        items=items,
        total_amount=total,
        payment_method=_method(number, reason, total),
        points_to_use=_points(number, reason),
        shipping_address=_address(customer),
    )


def _customer(number: int, reason: str | None) -> str:
    if reason in CUSTOMERS:
        return _cycle(CUSTOMERS[reason], number // 12)
    return _cycle(ORDINARY, number // 4 + number % 4 * 9)


def _basket(number: int, reason: str | None) -> tuple[Item, ...]:
    """Fill a basket with one to four different products, one to three of each."""
    places = range(1 + number % 4)
    chosen = {
        _cycle(EVERYDAY, 7 * number + 5 * place): 1 + (number + place) % 3 for place in places
    }
    if reason in {"LIMIT_EXCEEDED", "NOT_ENOUGH_POINTS"} or _every(20, number + 10):
        chosen[_cycle(PRECIOUS, number)] = 1
    if reason == "OUT_OF_STOCK":
        chosen[_cycle(SCARCE, number // 24)] = SCARCE_QUANTITY
    return tuple(
        Item(product_id=name, quantity=n, price=_prices()[name]) for name, n in chosen.items()
    )


def _method(number: int, reason: str | None, total: Decimal) -> str:
    by_invoice = reason is None and _every(5, number) and total <= INVOICE_LIMIT
    return "invoice" if by_invoice or reason == "LIMIT_EXCEEDED" else "card"


def _points(number: int, reason: str | None) -> int:
    if reason == "NOT_ENOUGH_POINTS":
        return 150
    return 5 + number % 4 if reason is None and _every(6, number) else 0


def _address(customer_id: str) -> Address:
    row = next(row for row in read("customers") if row["customer_id"] == customer_id)
    return Address(
        name=row["name"],
        street=row["street"],
        city=row["city"],
        postcode=row["postcode"] or None,
        country=row["country"],
    )


@cache
def _prices() -> dict[str, Decimal]:
    return {row["product_id"]: Decimal(row["price"]) for row in read("products")}


def _every(period: int, number: int) -> bool:
    return not number % period


def _cycle(values: tuple[str, ...], number: int) -> str:
    return values[number % len(values)]


def render() -> str:
    """Return the sample as a JSON list with one order per line."""
    lines = (json.dumps(order.model_dump(mode="json"), ensure_ascii=False) for order in orders())
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    ORDERS.write_text(render(), encoding="utf-8")
