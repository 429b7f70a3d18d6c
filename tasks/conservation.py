"""The proof that stock, money and points are conserved, and that every order left what it should.

It reads one service after the other, so it is meant for a shop at rest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select

from tasks import inventory, notification, order, payment, points, shipping
from tasks.effects import Entry, Facts, judge
from tasks.ledger import Ledger

__all__ = ["Report", "Total", "prove"]

SERVICES = (order, inventory, payment, points, shipping, notification)
LEDGERS = {service.database.service: service.ledger for service in SERVICES}


@dataclass(frozen=True, slots=True)
class Total:
    """How much of one thing there was at the beginning, and how much there is now."""

    what: str
    before: Decimal
    now: Decimal


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and a sentence for everything that is not as it should be."""

    orders: int
    effects: int
    totals: tuple[Total, ...]
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return not self.violations


def prove(statuses: Mapping[str, str]) -> Report:
    """Check the services against themselves, each other, and the sagas' statuses by order id."""
    entries = {name: _entries(ledger) for name, ledger in LEDGERS.items()}
    checks = (_stock(entries["inventory"]), _money(entries["payment"]), _points(entries["points"]))
    violations = [complaint for check in checks for complaint in check.complaints]
    facts = _facts()
    traces = _by_order(entry for ledger in entries.values() for entry in ledger)
    for order_id in sorted(statuses.keys() | facts.keys() | traces.keys()):
        order_traces = traces.get(order_id, [])
        violations += judge(order_id, statuses.get(order_id), facts.get(order_id), order_traces)
    effects = sum(len(ledger) for ledger in entries.values())
    return Report(len(facts), effects, tuple(check.total for check in checks), tuple(violations))


# What is conserved.


@dataclass(frozen=True, slots=True)
class _Check:
    total: Total
    complaints: list[str]


def _stock(ledger: Iterable[Entry]) -> _Check:
    rows = inventory.database.read(select(inventory.stock))
    shelves = {row.product_id: (Decimal(row.received), Decimal(row.on_hand)) for row in rows}
    check = _balance("stock", shelves, inventory.RESERVED, ledger)
    for row in rows:
        if row.on_hand + row.reserved != row.received:
            check.complaints.append(
                f"stock: of {row.received} {row.product_id} {row.on_hand} are on hand and "
                f"{row.reserved} reserved"
            )
    return check


def _money(ledger: Iterable[Entry]) -> _Check:
    rows = payment.database.read(select(payment.account))
    accounts = {row.customer_id: (row.opening, row.balance) for row in rows}
    return _balance("money", accounts, payment.MERCHANT, ledger)


def _points(ledger: Iterable[Entry]) -> _Check:
    rows = points.database.read(select(points.account))
    accounts = {row.customer_id: (Decimal(row.opening), Decimal(row.balance)) for row in rows}
    return _balance("points", accounts, points.PROGRAMME, ledger)


def _balance(
    what: str,
    accounts: Mapping[str, tuple[Decimal, Decimal]],
    house: str,
    ledger: Iterable[Entry],
) -> _Check:
    """Check that accounts moved as the ledger says, and that the house holds what left them."""
    moved: dict[str, Decimal] = defaultdict(Decimal)
    for entry in ledger:
        moved[entry.subject] += entry.amount
    complaints = [
        f"{what}: {subject} had {before} and moved by {moved[subject]:+}, but now has {now}"
        for subject, (before, now) in accounts.items()
        if now != before + moved[subject]
    ]
    strangers = moved.keys() - accounts.keys() - {house}
    complaints += [f"{what}: {subject} moved, but has no account" for subject in strangers]
    before = sum((before for before, _ in accounts.values()), Decimal())
    now = sum((now for _, now in accounts.values()), moved[house])
    if before != now:
        complaints.append(f"{what}: there were {before} in all, and now there are {now}")
    return _Check(Total(what, before, now), complaints)


# What the services know of each order.


def _entries(ledger: Ledger) -> list[Entry]:
    rows = ledger.database.read(select(ledger.table))
    return [Entry(row.order_id, row.step, row.op, row.subject, Decimal(row.amount)) for row in rows]


def _by_order(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    traces: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        traces[entry.order_id].append(entry)
    return traces


def _facts() -> dict[str, Facts]:
    lines: dict[str, dict[str, tuple[int, Decimal]]] = defaultdict(dict)
    for row in order.database.read(select(order.lines)):
        lines[row.order_id][row.product_id] = (row.quantity, row.price)
    parcels = {
        row.order_id: row.status for row in shipping.database.read(select(shipping.shipment))
    }
    mailed = {row.order_id for row in notification.database.read(select(notification.outbox))}
    return {
        row.order_id: Facts(
            customer_id=row.customer_id,
            status=row.status,
            total_amount=row.total_amount,
            points_to_use=row.points_to_use,
            lines=lines[row.order_id],
            shipment=parcels.get(row.order_id),
            mailed=row.order_id in mailed,
        )
        for row in order.database.read(select(order.orders))
    }
