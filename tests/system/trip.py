"""A saga for the system tests: a trip of three bookings, run by real workers.

The environment says where its broker and its databases are. Every booking is one effect in a
ledger, guarded by the barrier; the input says what goes wrong.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

from celery import Celery
from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection, insert, select

import sagas
from sagas import Context, Retry, Saga, Step, StepFailed, step
from sagas.decision import Timing
from sagas.duties import alerts as delivery
from sagas.record.database import Database
from sagas.runtime.settings import Settings
from tests.support.waiting import HANG_S, wait_until
from tests.system.ledger import ledger

__all__ = ["Trip", "app", "book_trip"]

app = Celery("trip", broker=os.environ.get("TRIP_BROKER_URL"))
app.conf.update(
    saga_database_url=os.environ.get("TRIP_DATABASE_URL"),
    saga_lease_s=float(os.environ.get("TRIP_LEASE_S", "1.5")),
    saga_sweep_interval_s=float(os.environ.get("TRIP_SWEEP_S", "0.3")),
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("TRIP_QUEUE", "celery"),
    worker_prefetch_multiplier=4,
)
sagas.setup(app)
delivery.RESERVATION_S = 3.0  # as short as the lease, for the same reason


def _without_late_looks(settings: Settings) -> Timing:
    """Let what only a late look would find be found by no test: it waits for less than that."""
    lease_s, sweep_s = settings.saga_lease_s, settings.saga_sweep_interval_s
    return Timing(lease_s=lease_s, timer_s=2 * sweep_s, max_check_interval_s=10 * HANG_S)


Settings.timing = property(_without_late_looks)  # type: ignore[method-assign,assignment]

participant = Database(os.environ.get("TRIP_PARTICIPANT_URL", ""))


class Trip(BaseModel):
    """What to book, how long each booking takes, and what goes wrong, at the step that is named."""

    place: str = "Rome"
    refuse: str = ""
    breaks: str = ""
    breaks_before: str = ""
    breaks_while_armed: str = ""
    cannot_undo: str = ""
    undo_breaks_while_armed: str = ""
    undo_refused: str = ""
    wait_for_file: str = ""
    breaks_until_file: str = ""
    takes_s: float = 0.0


def _book(trip: Trip, ctx: Context) -> str:
    time.sleep(trip.takes_s)
    if trip.breaks_until_file and ctx.step == "insurance":
        _break_until(Path(trip.breaks_until_file))
    if trip.breaks_before == ctx.step:
        raise RuntimeError("nobody answers")
    if trip.refuse == ctx.step:
        raise StepFailed(f"no {ctx.step} to {trip.place}", code="SOLD_OUT")
    participant.write(
        lambda connection: ctx.once(connection, lambda: _enter(connection, ctx), returns=str)
    )
    if trip.breaks == ctx.step or (trip.breaks_while_armed == ctx.step and _armed(ctx)):
        raise RuntimeError("the line went dead")
    if trip.wait_for_file and ctx.step == "hotel":
        wait_until(Path(trip.wait_for_file).exists)
    return f"{ctx.step} to {trip.place}"


def _break_until(file: Path) -> None:
    if not file.exists():
        raise RuntimeError("the office is closed")


def _cancel(trip: Trip, ctx: Context) -> None:
    if trip.cannot_undo == ctx.step:
        raise RuntimeError("the desk is closed")
    if trip.undo_refused == ctx.step:
        raise StepFailed("no refund", code="TOO_LATE")
    participant.write(
        lambda connection: ctx.once(connection, lambda: _enter(connection, ctx), returns=str)
    )
    if trip.undo_breaks_while_armed == ctx.step and _armed(ctx):
        raise RuntimeError("the line went dead")


def _armed(ctx: Context) -> bool:
    """Tell whether a fault at this step of this trip has yet to fire."""
    return any(Path(os.environ["SAGAS_FAULTS"]).glob(f"*@{ctx.key}@{ctx.step}"))


def _enter(connection: Connection, ctx: Context) -> str:
    row = {"saga_id": str(ctx.saga_id), "step": ctx.step, "operation": ctx.operation}
    connection.execute(insert(ledger).values(row))
    return ctx.step


ACTION = Retry(max_attempts=10, wait_initial=0.1, wait_exp_base=1)
UNDO = Retry(max_attempts=10, wait_initial=0.1, wait_exp_base=1)


@step(name="flight", retry=ACTION)
def flight(trip: Trip, ctx: Context) -> str:
    """Book a flight."""
    return _book(trip, ctx)


@flight.compensation(name="flight.cancel", retry=UNDO)
def cancel_flight(trip: Trip, ctx: Context) -> None:
    """Cancel it."""
    _cancel(trip, ctx)


@step(name="hotel", retry=ACTION)
def hotel(trip: Trip, ctx: Context) -> str:
    """Book a room."""
    return _book(trip, ctx)


@hotel.compensation(name="hotel.cancel", retry=UNDO)
def cancel_hotel(trip: Trip, ctx: Context) -> None:
    """Cancel it."""
    _cancel(trip, ctx)


@step(name="car", retry=ACTION)
def car(trip: Trip, ctx: Context) -> str:
    """Book a car."""
    return _book(trip, ctx)


@car.compensation(name="car.cancel", retry=UNDO)
def cancel_car(trip: Trip, ctx: Context) -> None:
    """Cancel it."""
    _cancel(trip, ctx)


#: Longer than two sweeps, so that the record keeps it and not a message.
CALM = Retry(max_attempts=10, wait_initial=0.8, wait_exp_base=1)
#: Longer than any test waits.
PATIENT = Retry(max_attempts=3, wait_initial=10 * HANG_S, wait_max=10 * HANG_S)


@step(name="visa", retry=Retry(max_attempts=2, wait_initial=0.1))
def visa(trip: Trip, ctx: Context) -> str:
    """Apply for a visa; the office can be asked whether it has the application."""
    return _book(trip, ctx)


@visa.compensation(name="visa.withdraw", retry=UNDO)
def withdraw_visa(trip: Trip, ctx: Context) -> None:
    """Withdraw the application."""
    _cancel(trip, ctx)


@visa.probe
def find_visa(trip: Trip, ctx: Context) -> str | None:
    """Ask the office."""
    row = (ledger.c.saga_id == str(ctx.saga_id)) & (ledger.c.step == ctx.step)
    found = participant.read(lambda c: c.execute(select(ledger).where(row)).first())
    return None if found is None else f"{ctx.step} to {trip.place}, as the office says"


@step(name="ticket", retry=ACTION)
def ticket(trip: Trip, ctx: Context) -> str:
    """Print the ticket, which cannot be taken back."""
    return _book(trip, ctx)


@step(name="insurance", retry=Retry(max_attempts=2, wait_initial=0.1))
def insurance(trip: Trip, ctx: Context) -> str:
    """Insure the luggage."""
    return _book(trip, ctx)


@step(name="errand", retry=ACTION)
def errand(trip: Trip, ctx: Context) -> str:
    """Run an errand."""
    return _book(trip, ctx)


@step(name="thanks", retry=ACTION)
def thanks(trip: Trip, ctx: Context) -> str:
    """Say thank you."""
    return _book(trip, ctx)


class Guest(BaseModel):
    """Somebody whose card is nobody else's business."""

    card: SecretStr


@step(name="room", retry=ACTION)
def room(guest: Guest, ctx: Context) -> SecretStr:
    """Give out a room, whose code is a secret too; at first with an error that quotes the card."""
    card = guest.card.get_secret_value()
    if ctx.attempt == 1:
        raise RuntimeError(f"the terminal cannot read {card!r}")
    return SecretStr(f"{card}-room-12")


@room.compensation()
def lock_room(guest: Guest, ctx: Context) -> None:
    """Lock it again, by its code."""
    assert ctx.output.get_secret_value() == f"{guest.card.get_secret_value()}-room-12"


@step(name="breakfast")
def breakfast(guest: Guest, ctx: Context) -> None:
    """Refuse, in words that quote both secrets."""
    code = ctx.output_of(room).get_secret_value()
    raise StepFailed(f"no breakfast for {guest.card.get_secret_value()} in {code}")


stay = Saga("stay", input=Guest, steps=[room, breakfast])
book_trip = Saga("trip", input=Trip, steps=[flight, hotel, car])
patient_trip = Saga("patient", input=Trip, steps=[flight, Step(hotel, retry=PATIENT), car])
calm_trip = Saga("calm", input=Trip, steps=[flight, Step(hotel, retry=CALM), car])
short_trip = Saga("short", input=Trip, steps=[flight, hotel, car], deadline=timedelta(seconds=2))
one_errand = Saga("errand", input=Trip, steps=[errand])
errands = Saga("errands", input=Trip, steps=[Step(errand, pivot=True), thanks])
tour = Saga("tour", input=Trip, steps=[flight, visa, Step(ticket, pivot=True), insurance])
trek = Saga("trek", input=Trip, steps=[flight, Step(ticket, pivot=True), insurance, thanks])
#: Longer than one message carries.
odyssey = Saga(
    "odyssey", input=Trip, steps=[Step(flight, name=f"leg-{number}") for number in range(1, 19)]
)
