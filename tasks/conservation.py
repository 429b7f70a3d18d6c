"""Whether stock, money and points are conserved, and whether each order left what it should.

That is what only the shop can know. ``sagas.testing`` checks what holds for every saga, given the
``effects()`` and the ``order_ids()`` below.

All of these read one service after another, so the shop must be at rest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from sagas.testing import Effect
from tasks import inventory, notification, order, payment, points, shipping
from tasks.ledger import Ledger
from tasks.order_rules import Entry, Facts, order_violations

__all__ = ["Report", "Total", "effects", "order_ids", "verify"]

SERVICES = (order, inventory, payment, points, shipping, notification)
LEDGERS = {service.database.service: service.ledger for service in SERVICES}


@dataclass(frozen=True, slots=True)
class Total:
    """How much of one thing there was at the start, and how much there is now."""

    what: str
    before: Decimal
    now: Decimal


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, and a sentence for everything that is wrong."""

    orders: int
    entries: int
    totals: tuple[Total, ...]
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations


def verify(statuses: Mapping[str, str]) -> Report:
    """Check the services against themselves, each other, and the sagas' statuses by order id."""
    entries = {name: _entries(ledger) for name, ledger in LEDGERS.items()}
    balances = (
        _stock(entries["inventory"]),
        _money(entries["payment"]),
        _points(entries["points"]),
    )
    violations = [violation for balance in balances for violation in balance.violations]
    facts = _facts()
    by_order = _by_order(entry for ledger in entries.values() for entry in ledger)
    for order_id in sorted(statuses.keys() | facts.keys()):
        violations += order_violations(
            order_id, statuses.get(order_id), facts.get(order_id), by_order.get(order_id, [])
        )
    return Report(
        orders=len(facts),
        entries=sum(map(len, entries.values())),
        totals=tuple(balance.total for balance in balances),
        violations=tuple(violations),
    )


def effects() -> list[Effect]:
    """Return what every service did, for ``sagas.testing``."""
    return [effect for ledger in LEDGERS.values() for effect in _effects_of(ledger)]


def _effects_of(ledger: Ledger) -> Iterator[Effect]:
    """Yield each effect once, although it has an entry for each subject."""
    seen: Counter[object] = Counter()
    for row in ledger.database.read(select(ledger.table).order_by(ledger.table.c.id)):
        effect = Effect(UUID(row.saga_id), row.step, row.op, key=row.key)
        seen[effect, row.subject] += 1
        if seen[effect, row.subject] > seen[effect]:  # a subject that comes again: a second effect
            seen[effect] += 1
            yield effect


def order_ids() -> set[str]:
    """Return the ids of all orders: the keys that must have a saga."""
    return {row.order_id for row in order.database.read(select(order.orders.c.order_id))}


# What is conserved.


@dataclass(frozen=True, slots=True)
class _Balance:
    total: Total
    violations: list[str]


def _stock(ledger: Iterable[Entry]) -> _Balance:
    rows = inventory.database.read(select(inventory.stock))
    shelves = {row.product_id: (Decimal(row.received), Decimal(row.on_hand)) for row in rows}
    balance = _balance("stock", shelves, inventory.RESERVED, ledger)
    for row in rows:
        if row.on_hand + row.reserved != row.received:
            balance.violations.append(
                f"stock: {row.product_id} has {row.on_hand} on hand and {row.reserved} reserved "
                f"of {row.received} received"
            )
    return balance


def _money(ledger: Iterable[Entry]) -> _Balance:
    rows = payment.database.read(select(payment.account))
    accounts = {row.customer_id: (row.opening, row.balance) for row in rows}
    return _balance("money", accounts, payment.MERCHANT, ledger)


def _points(ledger: Iterable[Entry]) -> _Balance:
    rows = points.database.read(select(points.account))
    accounts = {row.customer_id: (Decimal(row.opening), Decimal(row.balance)) for row in rows}
    return _balance("points", accounts, points.PROGRAMME, ledger)


def _balance(
    what: str,
    accounts: Mapping[str, tuple[Decimal, Decimal]],
    counterparty: str,
    ledger: Iterable[Entry],
) -> _Balance:
    """Check that accounts changed as the ledger says, and the counterparty has what left them."""
    changes: dict[str, Decimal] = defaultdict(Decimal)
    for entry in ledger:
        changes[entry.subject] += entry.amount
    violations = [
        f"{what}: {subject} had {before} and changed by {changes[subject]:+}, but now has {now}"
        for subject, (before, now) in accounts.items()
        if now != before + changes[subject]
    ]
    unknown = changes.keys() - accounts.keys() - {counterparty}
    violations += [f"{what}: {subject} changed, but has no account" for subject in sorted(unknown)]
    before = sum((before for before, _ in accounts.values()), Decimal())
    now = sum((now for _, now in accounts.values()), changes[counterparty])
    if before != now:
        violations.append(f"{what}: the total was {before}, but now is {now}")
    return _Balance(Total(what, before, now), violations)


# What the services know about each order.


def _entries(ledger: Ledger) -> list[Entry]:
    rows = ledger.database.read(select(ledger.table))
    return [Entry(row.order_id, row.step, row.subject, Decimal(row.amount)) for row in rows]


def _by_order(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    by_order: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_order[entry.order_id].append(entry)
    return by_order


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
