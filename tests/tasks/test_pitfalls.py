"""Pitfalls for applications, all of which the reference application avoids."""

from decimal import Decimal

import pytest
from sqlalchemy import select, update

from tasks import payment
from tasks.order_saga import order_saga
from tests.tasks.runs import do, make_order, undo


def test_22_mail_is_sent_when_nothing_can_fail_any_more() -> None:
    last = order_saga.plan.steps[-1]
    assert last.action.queue == "notification"
    assert last.best_effort


@pytest.mark.usefixtures("shop")
def test_23_an_undo_returns_what_was_taken_and_does_not_restore_an_old_value() -> None:
    order = make_order()
    own = payment.account.c.customer_id == order.customer_id

    def balance() -> Decimal:
        ((amount,),) = payment.database.read(select(payment.account.c.balance).where(own))
        return Decimal(amount)

    before = balance()
    do(payment.charge, order)
    with payment.database.begin() as session:  # somebody else pays in meanwhile
        more = payment.account.c.balance + Decimal("5.00")
        session.execute(update(payment.account).where(own).values(balance=more))
    undo(payment.charge, order)
    assert balance() == before + Decimal("5.00")


def test_25_data_that_others_must_not_rely_on_yet_is_marked() -> None:
    # A semantic lock: the order is recorded first, and only the end of its saga settles it.
    assert order_saga.plan.steps[0].name == "order.create"
    assert order_saga.plan.steps[0].compensation is not None
