"""What every step guarantees: its effect happens once, and is found again to be undone."""

from contextlib import suppress
from decimal import Decimal

import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from sagas import StepFailed
from sagas.errors import HangingAction
from tasks import inventory, payment, points, shipping
from tasks import order as orders
from tests.tasks.runs import PLAN, Action, do, ledger_of, make_order, undo

pytestmark = pytest.mark.usefixtures("shop")

UNDOABLE = [action for action, compensation in PLAN if compensation]


@pytest.mark.parametrize("action", UNDOABLE, ids=lambda action: action.name)
def test_an_action_that_runs_twice_has_one_effect_and_one_result(action: Action) -> None:
    order = make_order(points_to_use=5)
    first, second = do(action, order), do(action, order)
    undo(action, order)

    service = {"order": orders, "inventory": inventory, "payment": payment, "shipping": shipping}
    entries = ledger_of(service.get(action.name.partition(".")[0], points))
    subjects = {subject for _, _, subject, _ in entries}
    assert first == second
    assert len(entries) == 2 * len(subjects)


@pytest.mark.parametrize("action", UNDOABLE, ids=lambda action: action.name)
def test_a_compensation_without_its_action_does_nothing_and_blocks_the_action(
    action: Action,
) -> None:
    order = make_order(points_to_use=5)
    undo(action, order)
    with pytest.raises(HangingAction):
        do(action, order)


@pytest.mark.parametrize("action", UNDOABLE, ids=lambda action: action.name)
def test_a_compensation_that_does_not_find_its_effect_asks_for_a_person(action: Action) -> None:
    order = make_order(points_to_use=5)
    do(action, order)
    for service in (orders, inventory, payment, points, shipping):
        with service.database.begin() as session:
            session.execute(delete(service.ledger.table))

    with pytest.raises(StepFailed, match="not in effect") as failure:
        undo(action, order)
    assert failure.value.code == "INCONSISTENT"


def test_money_is_read_from_the_database_exact_to_the_cent() -> None:
    amounts = [Decimal("0.01"), Decimal("0.10"), Decimal("33333333.33"), Decimal("9999999999.99")]
    with payment.database.begin() as session:
        for number, amount in enumerate(amounts):
            row = {"customer_id": f"M-{number}", "opening": amount, "balance": amount}
            session.execute(insert(payment.account).values(row))
    query = select(payment.account.c.balance).where(payment.account.c.customer_id.startswith("M-"))
    rows = payment.database.read(query.order_by(payment.account.c.customer_id))
    assert [row.balance for row in rows] == amounts


def test_a_transaction_that_fails_leaves_nothing_behind() -> None:
    with suppress(IntegrityError), orders.database.begin() as session:
        orders.place(session, make_order())
        session.execute(insert(orders.orders).values(order_id="ORD-2"))
    assert orders.database.read(select(orders.orders)) == []
