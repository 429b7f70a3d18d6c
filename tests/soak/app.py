"""The application of a soak: purchases at services that keep an append-only ledger.

``SOAK_VERSION=2`` is the next release: its orders are wrapped, by a task that the first release
does not know.
"""

import json
import os
import random
import time

from celery import Celery
from pydantic import BaseModel
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

import sagas
from sagas import (
    Alert,
    AttemptSuperseded,
    Context,
    HangingAction,
    Retry,
    Saga,
    Step,
    StepFailed,
    step,
)
from sagas.definition import StepDefinition
from sagas.record.database import Database
from tests.soak.shared import ENDS, PARCELS
from tests.soak.tables import CUSTOMERS, PRICE, alerted, ledger, repaired, stock, wallet
from tests.support.waiting import HANG_S

__all__ = ["Purchase", "app", "order", "parcel", "second", "short", "tip"]

app = Celery("soak", broker=os.environ.get("SOAK_BROKER_URL"))
app.conf.update(
    saga_database_url=os.environ.get("SOAK_RECORD_URL"),
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # What a killed worker had received comes back within the soak, to be found void.
        "visibility_timeout": 20,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
    },
    worker_prefetch_multiplier=4,
)
sagas.setup(app)

#: How long a service takes before its effect, and again after it, on average.
BUSY_S = 0.02

services = Database(os.environ.get("SOAK_SERVICES_URL", ""), patience_s=0.5)


class Purchase(BaseModel):
    """What is bought by whom, and what goes wrong at which step.

    ``flaky`` is the chance that an attempt breaks, before its effect or after it. ``down``: the
    step whose service never answers. ``lingers``: the step whose first attempt goes on until it
    was taken over. ``exits``: the step whose first attempt ends with what is no Exception.
    """

    number: int
    product: int
    customer: int
    refuse: str = ""
    slow: str = ""
    hang: str = ""
    broken_undo: str = ""
    down: str = ""
    lingers: str = ""
    exits: str = ""
    flaky: float = 0.0


class Change:
    """What an effect does to the tables: so much from one place to another."""

    def __init__(self, shelf: tuple[str, str] | None = None, *, payment: int = 0) -> None:
        self.shelf = shelf
        self.payment = payment

    def __call__(self, connection: Connection, bought: Purchase) -> None:
        """Do it, in the connection's transaction."""
        if self.shelf:
            source, target = self.shelf
            moved = {source: stock.c[source] - 1, target: stock.c[target] + 1}
            mine = stock.c.product == bought.product
            connection.execute(update(stock).where(mine).values(moved))
        till = CUSTOMERS + bought.product
        for purse, amount in ((bought.customer, -self.payment), (till, self.payment)):
            if amount:
                mine = wallet.c.purse == purse
                balance = wallet.c.balance + amount
                connection.execute(update(wallet).where(mine).values(balance=balance))


def _act(bought: Purchase, ctx: Context, change: Change) -> str:
    if bought.slow == ctx.step:
        time.sleep(4)  # longer than the lease
    if bought.hang == ctx.step and ctx.attempt == 1:
        time.sleep(60)  # its timeout ends it
    if bought.lingers == ctx.step and ctx.attempt == 1:
        _linger(ctx)
    _be_busy()
    if bought.down == ctx.step or random.random() < bought.flaky / 2:
        raise RuntimeError("nobody answers")
    # A pivot in doubt that is refused afterwards parks for good, until the refusal is taken back.
    if bought.refuse == ctx.step and not _is_repaired(ctx):
        raise StepFailed(f"no {ctx.step} for {bought.number}", code="REFUSED")
    _apply(bought, ctx, change)
    _be_busy()
    if bought.exits == ctx.step and ctx.attempt == 1:
        raise ENDS[bought.number % len(ENDS)]
    if random.random() < bought.flaky / 2:
        raise RuntimeError("the line went dead")
    return f"{ctx.step} of {bought.number}"


def _be_busy() -> None:
    """Take a while, as a service does; whoever is killed is killed in the middle of something."""
    time.sleep(random.expovariate(1 / BUSY_S))


def _linger(ctx: Context) -> None:
    """Go on until the saga has gone on without this attempt, and then as if it had not."""
    until = time.monotonic() + HANG_S
    while time.monotonic() < until:
        try:
            ctx.heartbeat()
        except AttemptSuperseded:
            return
        except DBAPIError:  # the record is away: it is asked again
            continue
        finally:
            time.sleep(0.1)


def _undo(bought: Purchase, ctx: Context, change: Change) -> None:
    if bought.broken_undo == ctx.step and not _is_repaired(ctx):
        raise RuntimeError("the till is jammed")
    _be_busy()
    if random.random() < bought.flaky / 2:
        raise RuntimeError("nobody answers")
    _apply(bought, ctx, change)


def _is_repaired(ctx: Context) -> bool:
    query = select(repaired).where(repaired.c.saga_id == str(ctx.saga_id))
    return services.read(lambda c: c.execute(query).first()) is not None


def _apply(bought: Purchase, ctx: Context, change: Change) -> None:
    """Change the tables once, and tell the ledger what became of it."""

    def work(connection: Connection) -> None:
        applied = []

        def effect() -> str:
            change(connection, bought)
            applied.append(ctx.step)
            return ctx.step

        result = ctx.once(connection, effect, returns=str)
        nothing_to_undo = "refused" if result is None else "duplicate"
        _enter(connection, ctx, "applied" if applied else nothing_to_undo)

    try:
        services.write(work)
    except HangingAction:
        services.write(lambda c: _enter(c, ctx, "refused"))
        raise


def _enter(connection: Connection, ctx: Context, result: str) -> None:
    row = {"saga_id": str(ctx.saga_id), "step": ctx.step, "operation": ctx.operation}
    values = {**row, "key": ctx.idempotency_key, "result": result}
    connection.execute(insert(ledger).values(values))


@sagas.on_alert
def keep_alert(alert: Alert) -> None:
    """Write it down."""
    services.write(lambda c: c.execute(insert(alerted).values(body=json.dumps(alert.to_json()))))


ACTION = Retry(max_attempts=8, wait_initial=0.2, wait_max=5)
UNDO = Retry(max_attempts=12, wait_initial=0.2, wait_max=5)


@step(name="reserve", retry=ACTION)
def reserve(bought: Purchase, ctx: Context) -> str:
    """Put one aside."""
    return _act(bought, ctx, Change(("on_hand", "reserved")))


@reserve.compensation(retry=UNDO)
def release(bought: Purchase, ctx: Context) -> None:
    """Put it back."""
    _undo(bought, ctx, Change(("reserved", "on_hand")))


@step(name="charge", retry=Retry(max_attempts=4, wait_initial=0.2, wait_max=5))
def charge(bought: Purchase, ctx: Context) -> str:
    """Take the money."""
    return _act(bought, ctx, Change(payment=PRICE))


@charge.compensation(retry=UNDO)
def refund(bought: Purchase, ctx: Context) -> None:
    """Give it back."""
    _undo(bought, ctx, Change(payment=-PRICE))


@step(name="ship", retry=ACTION, timeout=3)
def ship(bought: Purchase, ctx: Context) -> str:
    """Send it away, for good."""
    return _act(bought, ctx, Change(("reserved", "sold")))


@step(name="thank", retry=Retry(max_attempts=2, wait_initial=0.1))
def thank(bought: Purchase, ctx: Context) -> str:
    """Say thank you, or try to."""
    return _act(bought, ctx, Change())


@step(name="pack", retry=ACTION, queue=PARCELS)
def pack(bought: Purchase, ctx: Context) -> str:
    """Put it into a parcel."""
    return _act(bought, ctx, Change())


@pack.compensation(retry=UNDO, queue=PARCELS)
def unpack(bought: Purchase, ctx: Context) -> None:
    """Take it out again."""
    _undo(bought, ctx, Change())


second: list[StepDefinition[..., str]] = []
if os.environ.get("SOAK_VERSION") == "2":

    @step(name="wrap", retry=ACTION)
    def wrap(bought: Purchase, ctx: Context) -> str:
        """Wrap it."""
        return _act(bought, ctx, Change())

    @wrap.compensation(retry=UNDO)
    def unwrap(bought: Purchase, ctx: Context) -> None:
        """Unwrap it."""
        _undo(bought, ctx, Change())

    second.append(wrap)

tip = Saga("tip", input=Purchase, steps=[charge])
short = Saga("short", input=Purchase, steps=[reserve, charge])
parcel = Saga("parcel", input=Purchase, steps=[pack, charge])
order = Saga(
    "order",
    input=Purchase,
    steps=[reserve, charge, *second, Step(ship, pivot=True), Step(thank, best_effort=True)],
)
