"""The shop creates an order and its saga together or not at all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import OperationalError

from celeryconfig import database_url
from sagas import KeyConflict
from sagas.record.database import Database as Record
from sagas.record.migrate import upgrade
from sagas.record.queries import count_by_status
from sagas.runtime.app import Runtime
from tasks import app, demo, inventory, order
from tasks.models import Item
from tasks.shop import place_order
from tests.tasks.runs import make_order, refusal, run


@pytest.fixture
def record(shop: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """Return the record beside the orders; its messages go to an in-memory broker."""
    del shop
    monkeypatch.setitem(app.conf, "broker_url", "memory://")
    monkeypatch.setitem(app.conf, "saga_database_url", database_url("order"))
    runtime = Runtime(app)
    monkeypatch.setattr(app, "sagas", runtime)
    upgrade(runtime.database)
    yield runtime.database
    runtime.database.dispose()


def placed(record: Record) -> tuple[int, int]:
    """Return the number of orders and the number of sagas."""

    def count(connection: Connection) -> int:
        return sum(count_by_status(connection).values())

    return len(order.database.read(select(order.orders))), record.read(count)


def test_an_order_and_its_saga_are_written_together(record: Record) -> None:
    handle = place_order(make_order())
    assert handle.key == "ORD-1"
    assert placed(record) == (1, 1)


def test_an_order_that_cannot_be_written_has_no_saga(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "place", lambda session, _: session.execute(text("SELECT nothing")))
    with pytest.raises(OperationalError):
        place_order(make_order())
    assert placed(record) == (0, 0)


def test_placing_the_same_order_twice_creates_one_order(record: Record) -> None:
    first, second = place_order(make_order()), place_order(make_order())
    assert first.id == second.id
    assert placed(record) == (1, 1)


def test_another_order_with_the_same_id_is_refused(record: Record) -> None:
    place_order(make_order())
    with pytest.raises(KeyConflict):
        place_order(make_order(payment_method="invoice"))
    assert placed(record) == (1, 1)


@pytest.mark.usefixtures("record")
def test_the_demonstration_fails_if_an_order_and_its_effects_have_no_saga(
    capsys: pytest.CaptureFixture[str],
) -> None:
    demo.check_sagas()
    run(make_order())
    with pytest.raises(demo.Disproved, match="things are wrong"):
        demo.check_sagas()
    printed = " ".join(capsys.readouterr().out.split())
    assert "S1: the row ORD-1 is committed, but has no saga order" in printed
    assert "S1: the action of payment.charge was applied for" in printed


@pytest.mark.usefixtures("any_shop")
def test_the_last_pieces_go_to_exactly_as_many_simultaneous_customers() -> None:
    vase = Item(product_id="P-900", quantity=1, price=Decimal("68.00"))
    orders = [make_order(order_id=f"ORD-{number}", items=(vase,)) for number in range(8)]
    with ThreadPoolExecutor(max_workers=8) as customers:
        codes = list(customers.map(lambda o: refusal(inventory.reserve_inventory, o), orders))
    assert sorted(codes, key=str) == [None] * 2 + ["OUT_OF_STOCK"] * 6
