"""What an order must leave in the services, computed from the order alone.

These are pure functions of the services' tables and ledgers and of the saga's status. They share no
rule with the services, so a wrong rule there cannot hide itself here.

They check amounts. ``sagas.testing`` checks the rest: that each effect happened once and in order,
and that it was undone where the saga turned back.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Entry", "Facts", "order_violations"]

Amounts = Mapping[str, Decimal]

#: Best effort: it may be missing, and it is never undone.
OPTIONAL = "notification.send"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a ledger."""

    order_id: str
    step: str
    subject: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """What the services' tables say about one order."""

    customer_id: str
    status: str
    total_amount: Decimal
    points_to_use: int
    lines: Mapping[str, tuple[int, Decimal]]
    shipment: str | None
    mailed: bool


def order_violations(
    order_id: str, status: str | None, facts: Facts | None, entries: Sequence[Entry]
) -> Iterator[str]:
    """Yield a sentence for everything that is wrong with an order.

    *status* is its saga's; it is None if there is no saga, and *facts* is None if there is no row.
    A saga that is under way or parked may have left anything.
    """
    if status is None or facts is None:
        yield f"{order_id} has no {'saga' if status is None else 'row'}"
        return
    left = _left_by_step(entries)
    if status == "COMPLETED":
        yield from _completed(order_id, facts, left)
    elif status == "COMPENSATED":
        yield from _compensated(order_id, facts, left)


def _left_by_step(entries: Sequence[Entry]) -> Mapping[str, Amounts]:
    """Add up what each step has left, by subject: its action and its compensation together."""
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for entry in entries:
        sums[entry.step][entry.subject] += entry.amount
    return {step: _without_zeros(amounts) for step, amounts in sums.items()}


def _completed(order_id: str, facts: Facts, left: Mapping[str, Amounts]) -> Iterator[str]:
    expected = _expected(order_id, facts)
    for step in sorted(expected.keys() | left.keys()):
        found, should = left.get(step, {}), _without_zeros(expected.get(step, {}))
        if found != should:
            yield f"{order_id} is completed, but {step} left {_text(found)}, not {_text(should)}"
    ordered = sum((quantity * price for quantity, price in facts.lines.values()), Decimal())
    if ordered != facts.total_amount:
        yield f"{order_id} is completed for {facts.total_amount}, but its lines add up to {ordered}"
    if facts.status != "created":
        yield f"{order_id} is completed, but the order is {facts.status}"
    if facts.shipment != "created":
        yield f"{order_id} is completed, but its parcel is {facts.shipment}"


def _compensated(order_id: str, facts: Facts, left: Mapping[str, Amounts]) -> Iterator[str]:
    for step in sorted(left.keys() - {OPTIONAL}):
        if left[step]:
            yield f"{order_id} is compensated, but {step} left {_text(left[step])}"
    # If its saga turned back before it was created, an order stays as the shop placed it.
    if facts.status != ("cancelled" if "order.create" in left else "placed"):
        yield f"{order_id} is compensated, but the order is {facts.status}"
    if facts.shipment == "created":
        yield f"{order_id} is compensated, but its parcel is under way"


def _expected(order_id: str, facts: Facts) -> Mapping[str, Amounts]:
    """Return what each step of a completed order must have left, by subject."""
    customer, used = facts.customer_id, Decimal(facts.points_to_use)
    due, earned = facts.total_amount - used, facts.total_amount // 100
    taken = {product: Decimal(-quantity) for product, (quantity, _) in facts.lines.items()}
    return {
        "order.create": {order_id: Decimal(len(facts.lines))},
        "inventory.reserve": taken | {"reserved": -sum(taken.values(), Decimal())},
        "payment.charge": {customer: -due, "merchant": due},
        "points.deduct": {customer: -used, "programme": used},
        "shipping.create": {order_id: Decimal(1)},
        "points.award": {customer: earned, "programme": -earned},
        OPTIONAL: {order_id: Decimal(1)} if facts.mailed else {},
    }


def _without_zeros(amounts: Amounts) -> Amounts:
    return {subject: amount for subject, amount in amounts.items() if amount}


def _text(amounts: Amounts) -> str:
    return (
        ", ".join(f"{amount:+} for {subject}" for subject, amount in amounts.items()) or "nothing"
    )
