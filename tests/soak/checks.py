"""Every invariant, of everything that a soak has left behind."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, func, select

from sagas import Alert, SagaStatus
from sagas.record import tables as t
from sagas.testing import Effect, Options, violations
from tests.soak.place import Place
from tests.soak.shared import PARCELS
from tests.soak.tables import (
    CUSTOMERS,
    PRICE,
    PRODUCTS,
    PURSES,
    STOCK,
    WALLET,
    alerted,
    ledger,
    purchase,
    stock,
    wallet,
)

__all__ = ["found_wrong"]


def found_wrong(place: Place, *, ended_before: Mapping[UUID, object]) -> list[str]:
    """Return what is wrong, in words; nothing, if every invariant holds.

    *ended_before*: what ``ended_rows`` returned when the faults stopped.
    """
    evidence = Options(
        parked=(),
        keys=place.record.read(_purchases),
        since=ended_before,
        delivered={"hook": place.services.read(_alerts)},
        conserved=_sums(place),
        queues=_queues(place),
    )
    effects = place.services.read(lambda c: list(_effects(c)))
    return [str(violation) for violation in violations(place.record, effects, **evidence)]


def _effects(connection: Connection) -> Iterator[Effect]:
    for row in connection.execute(select(ledger).order_by(ledger.c.id)):
        yield Effect(UUID(row.saga_id), row.step, row.operation, row.result, row.key)


def _purchases(connection: Connection) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(select(purchase)):
        keys[row.saga].append(f"P-{row.number}")
    return keys


def _alerts(connection: Connection) -> list[Alert]:
    bodies = connection.scalars(select(alerted.c.body))
    return [Alert.from_json(json.loads(body)) for body in bodies]


def _sums(place: Place) -> dict[str, tuple[int, int]]:
    """Compare what the services have with what the sagas that completed should have moved."""
    tips, short, parcels, order = place.record.read(_completed)
    columns = (
        ("things", stock.c.on_hand + stock.c.reserved + stock.c.sold, PRODUCTS * STOCK),
        ("reserved things", stock.c.reserved, short),
        ("sold things", stock.c.sold, order),
        ("money", wallet.c.balance, PURSES * WALLET),
        (
            "the shop's money",
            case((wallet.c.purse >= CUSTOMERS, wallet.c.balance), else_=0),
            PRODUCTS * WALLET + PRICE * (tips + short + parcels + order),
        ),
    )
    return {
        name: (right, place.services.read(partial(_sum, column))) for name, column, right in columns
    }


def _completed(connection: Connection) -> tuple[int, ...]:
    query = select(t.saga.c.name).where(t.saga.c.status == SagaStatus.COMPLETED)
    names = Counter(connection.scalars(query))
    return tuple(names[name] for name in ("tip", "short", "parcel", "order"))


def _sum(column: ColumnElement[int], connection: Connection) -> int:
    return connection.scalar(select(func.sum(column))) or 0


def _queues(place: Place) -> dict[str, int]:
    with place.redis.client() as client:
        waiting = {queue: client.llen(queue) for queue in ("celery", PARCELS)}
        return {**waiting, "unacked": client.hlen("unacked")}
