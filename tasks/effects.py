"""Which effects an order must have left, judged from the order alone.

A pure function of what the services' tables and ledgers say of one order, and of how its saga
ended. It shares no rule with the services, so that a wrong rule there does not excuse itself here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Entry", "Facts", "judge"]

Amounts = dict[str, Decimal]
Steps = Mapping[str, Amounts]

#: Best effort: it may be missing, and is never undone.
OPTIONAL = "notification.send"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a ledger."""

    order_id: str
    step: str
    op: str
    subject: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables of the services say of one order."""

    customer_id: str
    status: str
    total_amount: Decimal
    points_to_use: int
    lines: Mapping[str, tuple[int, Decimal]]
    shipment: str | None
    mailed: bool


def judge(
    order_id: str, status: str | None, facts: Facts | None, entries: Sequence[Entry]
) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be with this order.

    *status* is the saga's, *facts* are None where the order has no row. A saga that has not ended,
    or is parked, may have any effect, but none twice and none undone that was not done.
    """
    if status is None or facts is None:
        yield f"{order_id} has {'no saga' if status is None else 'no row'}, but other traces"
        return
    yield from _repeated(order_id, entries)
    done, undone = _sums(entries, "action"), _sums(entries, "compensation")
    yield from _undone_wrongly(order_id, done, undone)
    if status == "COMPLETED":
        yield from _incomplete(order_id, facts, done, undone)
    elif status == "COMPENSATED":
        yield from _left_over(order_id, facts, done, undone)


def _repeated(order_id: str, entries: Sequence[Entry]) -> Iterator[str]:
    counts = Counter((entry.step, entry.op, entry.subject) for entry in entries)
    for (step, op, subject), count in counts.items():
        if count > 1:
            yield f"{order_id}: the {op} of {step} was applied {count} times to {subject}"


def _sums(entries: Sequence[Entry], op: str) -> Steps:
    sums: dict[str, Amounts] = defaultdict(lambda: defaultdict(Decimal))
    for entry in entries:
        if entry.op == op:
            sums[entry.step][entry.subject] += entry.amount
    return sums


def _undone_wrongly(order_id: str, done: Steps, undone: Steps) -> Iterator[str]:
    for step, amounts in undone.items():
        if amounts != _opposite(done.get(step, {})):
            yield f"{order_id}: {step} undid {_text(amounts)} of {_text(done.get(step, {}))}"


def _incomplete(order_id: str, facts: Facts, done: Steps, undone: Steps) -> Iterator[str]:
    wanted = _wanted(order_id, facts)
    for step in sorted(wanted.keys() | done.keys()):
        did, should = done.get(step, {}), wanted.get(step, {})
        if did != should:
            yield f"{order_id}: {step} did {_text(did)}, not {_text(should)}"
    for step in undone:
        yield f"{order_id} is completed, but {step} was undone"
    ordered = sum((quantity * price for quantity, price in facts.lines.values()), Decimal())
    if ordered != facts.total_amount:
        yield f"{order_id} is completed for {facts.total_amount}, but its lines add up to {ordered}"
    if (facts.status, facts.shipment) != ("created", "created"):
        yield f"{order_id} is completed, its order {facts.status}, its parcel {facts.shipment}"


def _left_over(order_id: str, facts: Facts, done: Steps, undone: Steps) -> Iterator[str]:
    for step in sorted(done.keys() - undone.keys() - {OPTIONAL}):
        yield f"{order_id} is compensated, but {step} was not undone: {_text(done[step])}"
    # Turned back before it was created, an order stays as the shop placed it.
    if facts.status != ("cancelled" if "order.create" in done else "placed"):
        yield f"{order_id} is compensated, but the order is {facts.status}"
    if facts.shipment == "created":
        yield f"{order_id} is compensated, but its parcel is under way"


def _wanted(order_id: str, facts: Facts) -> Steps:
    """Return what each step of a completed order must have done, by subject."""
    customer, used = facts.customer_id, Decimal(facts.points_to_use)
    due, earned = facts.total_amount - used, facts.total_amount // 100
    taken = {product: Decimal(-quantity) for product, (quantity, _) in facts.lines.items()}
    return {
        "order.create": {order_id: Decimal(len(facts.lines))},
        "inventory.reserve": taken | {"reserved": -sum(taken.values(), Decimal())},
        "payment.charge": {customer: -due, "merchant": due},
        "points.deduct": {customer: -used, "programme": used} if used else {},
        "shipping.create": {order_id: Decimal(1)},
        "points.award": {customer: earned, "programme": -earned},
        OPTIONAL: {order_id: Decimal(1)} if facts.mailed else {},
    }


def _opposite(amounts: Amounts) -> Amounts:
    return {subject: -amount for subject, amount in amounts.items()}


def _text(amounts: Amounts) -> str:
    return (
        ", ".join(f"{amount:+} for {subject}" for subject, amount in amounts.items()) or "nothing"
    )
