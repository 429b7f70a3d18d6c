"""The smallest complete saga: a room is reserved and a card is charged, or neither."""

from celery import Celery
from pydantic import BaseModel

import sagas
from sagas import CompensationContext, Saga, StepFailed, step

app = Celery("shop", broker="redis://127.0.0.1:6379/0")
app.conf.saga_database_url = "sqlite:///shop.db"
sagas.setup(app)


class Booking(BaseModel):
    guest: str
    card: str


@step(name="room.reserve")
def reserve(booking: Booking) -> int:
    return 12  # the number of the room


@reserve.compensation
def release(booking: Booking, ctx: CompensationContext) -> None:
    print(f"room {ctx.output} is free again: {ctx.failure.message}")


@step(name="card.charge")
def charge(booking: Booking) -> None:
    if booking.card == "stolen":
        raise StepFailed("the card was refused", code="CARD_REFUSED")


booking_saga = Saga("booking", input=Booking, steps=[reserve, charge])
