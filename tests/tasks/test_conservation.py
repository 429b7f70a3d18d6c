"""The proof accepts a shop that did everything right, and rejects every single mistake."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest
from sqlalchemy import delete, insert, select, update

from tasks import inventory, notification, order, payment, points, shipping
from tasks.conservation import effects, verify
from tasks.models import Address
from tests.tasks.runs import PLAN, do, make_order, run

STATUSES = {"ORD-1": "COMPLETED", "ORD-2": "COMPENSATED"}
AWAY = Address(name="Alice", street="Hut 4", city="McMurdo", country="AQ")


@pytest.fixture(autouse=True)
def _one_completed_and_one_compensated(shop: object) -> None:
    del shop
    completed = make_order(order_id="ORD-1", points_to_use=5)
    compensated = make_order(order_id="ORD-2", points_to_use=5, shipping_address=AWAY)
    assert run(completed) == ("COMPLETED", None)
    assert run(compensated) == ("COMPENSATED", "UNDELIVERABLE_ADDRESS")


def change(service: Any, statement: Any) -> None:
    with service.database.begin() as session:
        session.execute(statement)


def repeat(service: Any, step: str, op: str) -> None:
    """Write the first ledger entry of a step again."""
    table = service.ledger.table
    found = select(table).where(table.c.step == step, table.c.op == op).limit(1)
    (entry,) = service.database.read(found)
    change(service, insert(table).values(entry._asdict() | {"id": None}))


def forget(service: Any, step: str, op: str, order_id: str) -> None:
    """Remove the ledger entries of a step."""
    table = service.ledger.table
    wanted = (table.c.step == step) & (table.c.op == op) & (table.c.order_id == order_id)
    change(service, delete(table).where(wanted))


def test_it_accepts_a_shop_that_did_everything_right() -> None:
    report = verify(STATUSES)
    assert report.holds, report.violations
    assert report.orders == 2
    assert {total.what: total.now for total in report.totals} == {
        "stock": sum(
            Decimal(row.received) for row in inventory.database.read(select(inventory.stock))
        ),
        "money": Decimal("432004.70") + Decimal("9000.00"),
        "points": Decimal(19647),
    }


def test_it_accepts_a_saga_that_is_running_or_parked() -> None:
    do(PLAN[0][0], make_order(order_id="ORD-3"))
    assert verify(STATUSES | {"ORD-3": "FAILED"}).holds
    assert verify(STATUSES | {"ORD-3": "IN_PROGRESS"}).holds


WRONGS: dict[str, tuple[str, Callable[[], None]]] = {
    "a piece of stock vanished": (
        "stock: P-100 had 400 and changed by -2, but now has 397",
        lambda: change(
            inventory,
            update(inventory.stock)
            .where(inventory.stock.c.product_id == "P-100")
            .values(on_hand=397, reserved=3),
        ),
    ),
    "a reserved piece vanished": (
        "stock: P-100 has 398 on hand and 1 reserved of 400 received",
        lambda: change(
            inventory,
            update(inventory.stock)
            .where(inventory.stock.c.product_id == "P-100")
            .values(reserved=1),
        ),
    ),
    "a cent appeared": (
        "money: the total was 441004.70, but now is 441004.71",
        lambda: change(
            payment,
            update(payment.account)
            .where(payment.account.c.customer_id == "C-002")
            .values(balance=Decimal("9000.01")),
        ),
    ),
    "points appeared": (
        "points: C-002 had 400 and changed by +0, but now has 401",
        lambda: change(
            points,
            update(points.account)
            .where(points.account.c.customer_id == "C-002")
            .values(balance=401),
        ),
    ),
    "a stranger was paid": (
        "money: C-0 changed, but has no account",
        lambda: change(
            payment,
            update(payment.ledger.table)
            .where(payment.ledger.table.c.subject == "merchant")
            .values(subject="C-0"),
        ),
    ),
    "an action twice": (
        "ORD-1 is completed, but payment.charge left -65.60 for C-001, +32.80 for merchant, not",
        lambda: repeat(payment, "payment.charge", "action"),
    ),
    "a compensation twice": (
        "ORD-2 is compensated, but inventory.reserve left +2 for P-100",
        lambda: repeat(inventory, "inventory.reserve", "compensation"),
    ),
    "a mail twice": (
        "ORD-1 is completed, but notification.send left +2 for ORD-1, not +1 for ORD-1",
        lambda: repeat(notification, "notification.send", "action"),
    ),
    "a missing action": (
        "ORD-1 is completed, but shipping.create left nothing, not +1 for ORD-1",
        lambda: forget(shipping, "shipping.create", "action", "ORD-1"),
    ),
    "a missing compensation": (
        "ORD-2 is compensated, but points.deduct left -5 for C-001, +5 for programme",
        lambda: forget(points, "points.deduct", "compensation", "ORD-2"),
    ),
    "a compensation without an action": (
        "ORD-2 is compensated, but order.create left -1 for ORD-2",
        lambda: forget(order, "order.create", "action", "ORD-2"),
    ),
    "an action that did something else": (
        "ORD-1 is completed, but points.award left +3 for C-001",
        lambda: change(
            points,
            update(points.ledger.table)
            .where(points.ledger.table.c.step == "points.award")
            .where(points.ledger.table.c.subject == "C-001")
            .values(amount=3),
        ),
    ),
    "a skipped step that ran": (
        "ORD-1 is completed, but points.deduct left -5 for C-001, +5 for programme, not nothing",
        lambda: change(order, update(order.orders).values(points_to_use=0)),
    ),
    "a mail that nobody wrote down": (
        "ORD-1 is completed, but notification.send left nothing, not +1",
        lambda: forget(notification, "notification.send", "action", "ORD-1"),
    ),
    "a line that is missing": (
        "ORD-1 is completed for 37.80, but its lines add up to 0",
        lambda: change(order, delete(order.lines)),
    ),
    "an order that is still placed": (
        "ORD-1 is completed, but the order is placed",
        lambda: change(order, update(order.orders).values(status="placed")),
    ),
    "a parcel that is still under way": (
        "ORD-2 is compensated, but its parcel is under way",
        lambda: change(
            shipping,
            insert(shipping.shipment).values(
                order_id="ORD-2", carrier="X", tracking_number="X", status="created"
            ),
        ),
    ),
    "a cancelled order that is back": (
        "ORD-2 is compensated, but the order is created",
        lambda: change(order, update(order.orders).values(status="created")),
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_every_single_mistake_is_detected(wrong: str) -> None:
    complaint, commit = WRONGS[wrong]
    commit()
    report = verify(STATUSES)
    assert not report.holds
    assert any(complaint in violation for violation in report.violations), report.violations


@pytest.mark.parametrize(
    ("statuses", "complaint"),
    [
        ({"ORD-1": "COMPLETED"}, "ORD-2 has no saga"),
        (STATUSES | {"ORD-3": "COMPLETED"}, "ORD-3 has no row"),
        (
            STATUSES | {"ORD-1": "COMPENSATED"},
            "ORD-1 is compensated, but payment.charge left -32.80",
        ),
        (
            STATUSES | {"ORD-2": "COMPLETED"},
            "ORD-2 is completed, but payment.charge left nothing, not -",
        ),
    ],
)
def test_effects_that_contradict_their_sagas_are_detected(
    statuses: dict[str, str], complaint: str
) -> None:
    assert any(complaint in violation for violation in verify(statuses).violations)


def test_an_effect_on_several_subjects_is_one_effect() -> None:
    charged = [effect for effect in effects() if effect.step == "payment.charge"]
    assert [str(effect.operation) for effect in charged] == ["action", "action", "compensation"]
    assert charged[0].saga_id != charged[1].saga_id == charged[2].saga_id
    assert [effect.key for effect in charged] == [
        str(uuid5(effect.saga_id, f"payment.charge:{effect.operation}")) for effect in charged
    ]


@pytest.mark.parametrize(
    ("service", "step", "op"),
    [
        (payment, "payment.charge", "action"),
        (inventory, "inventory.reserve", "compensation"),
        (notification, "notification.send", "action"),
    ],
)
def test_a_repeated_ledger_entry_is_another_effect(service: Any, step: str, op: str) -> None:
    def count() -> int:
        return sum((effect.step, effect.operation) == (step, op) for effect in effects())

    before = count()
    repeat(service, step, op)
    assert count() == before + 1
