from bookshop.celery import app
from django.test import TestCase, TransactionTestCase

import sagas
from orders.models import Book, Order
from orders.tasks import order_saga
from sagas.testing import check, empty_record


class PlaceTest(TestCase):  # type: ignore[misc]
    def test_placing_an_order_starts_a_saga_when_it_commits(self) -> None:
        wanted = {"title": "Emma", "copies": 1, "card": "valid"}
        with self.captureOnCommitCallbacks() as callbacks:
            self.client.post("/orders/", wanted, content_type="application/json")
        assert len(callbacks) == 1
        assert Order.objects.get().status == "placed"


class OrderTest(TransactionTestCase):  # type: ignore[misc]
    def setUp(self) -> None:
        app.conf.task_always_eager = True
        empty_record()
        Book.objects.create(title="Emma", copies=3)

    def place(self, copies: int, card: str) -> Order:
        wanted = {"title": "Emma", "copies": copies, "card": card}
        answer = self.client.post("/orders/", wanted, content_type="application/json")
        order: Order = Order.objects.get(pk=answer.json()["order"])
        return order

    def test_an_order_is_paid(self) -> None:
        assert self.place(2, "valid").status == "paid"
        assert Book.objects.get().copies == 1
        check(app)

    def test_a_refused_card_puts_the_books_back(self) -> None:
        order = self.place(2, "stolen")
        assert order.status == "refused"
        assert Book.objects.get().copies == 3
        failure = order_saga.get(key=f"order-{order.pk}").describe().failure
        assert failure is not None
        assert failure["step"] == "card.charge"

    def test_there_are_never_fewer_than_no_copies(self) -> None:
        assert self.place(4, "valid").status == "refused"
        assert Book.objects.get().copies == 3
        assert len(sagas.find()) == 1
