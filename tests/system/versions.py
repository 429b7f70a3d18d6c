"""Two versions of one application, chosen by the environment: a plan changes while sagas run.

The newer one adds a step (insurance), removes one (hotel), renames a task (car) and retries a
flight more often. Neither keeps anything that only the other one needs.
"""

import os

from celery import Celery
from pydantic import BaseModel
from sqlalchemy import Connection, insert

import sagas
from sagas import Context, Retry, Saga, Step, StepFailed, step
from sagas.record.database import Database
from tests.system.ledger import ledger

__all__ = ["Trip", "app", "trip"]

OLD = os.environ["TRIP_VERSION"] == "old"

app = Celery("versions", broker=os.environ["TRIP_BROKER_URL"])
app.conf.update(
    saga_database_url=os.environ["TRIP_DATABASE_URL"],
    saga_lease_s=1.5,
    saga_sweep_interval_s=0.2,
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ["TRIP_QUEUE"],
    worker_prefetch_multiplier=1,
)
sagas.setup(app)

participant = Database(os.environ["TRIP_PARTICIPANT_URL"])


class Trip(BaseModel):
    """A trip; the flight fails this many times, and the car may be refused."""

    key: str
    breaks: int = 0
    no_car: bool = False


def _enter(ctx: Context) -> None:
    row = {"saga_id": str(ctx.saga_id), "step": ctx.step, "operation": ctx.operation}

    def effect(connection: Connection) -> str:
        connection.execute(insert(ledger).values(row))
        return ctx.step

    participant.write(lambda c: ctx.once(c, lambda: effect(c), returns=str))


ATTEMPTS = 2 if OLD else 5


@step(name="flight", retry=Retry(max_attempts=ATTEMPTS, wait_initial=0.1, wait_exp_base=1))
def flight(trip: Trip, ctx: Context) -> None:
    """Book a flight."""
    if ctx.attempt <= trip.breaks:
        raise RuntimeError("the line went dead")
    _enter(ctx)


@flight.compensation(name="flight.cancel")
def cancel_flight(_: Trip, ctx: Context) -> None:
    """Cancel the flight."""
    _enter(ctx)


@step(name="hotel" if OLD else "insurance")
def second(_: Trip, ctx: Context) -> None:
    """Book a room or insure the luggage."""
    _enter(ctx)


@second.compensation(name="hotel.cancel" if OLD else "insurance.cancel")
def cancel_second(_: Trip, ctx: Context) -> None:
    """Cancel the room or the insurance."""
    _enter(ctx)


@step(name="car" if OLD else "car.renamed")
def car(trip: Trip, ctx: Context) -> None:
    """Book a car."""
    if trip.no_car:
        raise StepFailed("no car is left")
    _enter(ctx)


@car.compensation()
def cancel_car(_: Trip, ctx: Context) -> None:
    """Cancel the car."""
    _enter(ctx)


trip = Saga("trip", input=Trip, steps=[flight, second, Step(car, name="car")])
