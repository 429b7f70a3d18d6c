"""A saga in thirty lines: a room is reserved and paid for, or neither."""

from celery import Celery
from pydantic import BaseModel

import sagas
from sagas import Context, Retry, Saga, StepFailed, step

app = Celery("shop", broker="redis://127.0.0.1:6379/0")
app.conf.saga_database_url = "sqlite:///shop.db"
sagas.setup(app)


class Booking(BaseModel):
    guest: str
    nights: int
    card: str


@step(name="room.reserve")
def reserve(booking: Booking) -> str:
    return f"room 12 for {booking.guest}"


@reserve.compensation(name="room.release")
def release(booking: Booking, ctx: Context) -> None:
    print(f"released {ctx.output}, because {ctx.failure.message}")


@step(name="card.charge", retry=Retry(max_attempts=4, wait_initial=0.2), timeout=10)
def charge(booking: Booking, ctx: Context) -> int:
    if booking.card == "stolen":
        raise StepFailed("the card was refused", code="CARD_REFUSED")
    print(f"charged for {ctx.output_of(reserve)}, by the key {ctx.idempotency_key}")
    return 80 * booking.nights


@charge.compensation(name="card.refund")
def refund(booking: Booking, ctx: Context) -> None:
    print(f"refunded what was charged by the key {ctx.action_key}")


booking_saga = Saga("booking", input=Booking, steps=[reserve, charge])
