from django.db.models import F
from pydantic import BaseModel

from orders.models import Book, Order
from sagas import CompensationContext, Context, Saga, StepFailed, step
from sagas.contrib.django import once


class Purchase(BaseModel):
    order: int
    title: str
    copies: int
    card: str


def mark(purchase: Purchase, status: str) -> None:
    Order.objects.filter(pk=purchase.order).update(status=status)


@step(name="order.accept")
def accept(purchase: Purchase, ctx: Context) -> None:
    once(ctx, lambda: mark(purchase, "accepted"))


@accept.compensation
def refuse(purchase: Purchase, ctx: CompensationContext[None]) -> None:
    once(ctx, lambda: mark(purchase, "refused"))


@step(name="stock.reserve")
def reserve(purchase: Purchase, ctx: Context) -> None:
    def take() -> None:
        enough = Book.objects.filter(title=purchase.title, copies__gte=purchase.copies)
        if not enough.update(copies=F("copies") - purchase.copies):
            raise StepFailed("There are not enough copies.", code="SOLD_OUT")

    once(ctx, take)


@reserve.compensation
def release(purchase: Purchase, ctx: CompensationContext[None]) -> None:
    def put_back() -> None:
        Book.objects.filter(title=purchase.title).update(copies=F("copies") + purchase.copies)

    once(ctx, put_back)


@step(name="card.charge", read_only=True)
def charge(purchase: Purchase) -> None:
    if purchase.card == "stolen":
        raise StepFailed("The card was refused.", code="CARD_REFUSED")


@step(name="order.confirm")
def confirm(purchase: Purchase, ctx: Context) -> None:
    once(ctx, lambda: mark(purchase, "paid"))


order_saga = Saga("order", input=Purchase, steps=[accept, reserve, charge, confirm])
