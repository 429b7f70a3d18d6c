"""The shop's initial data, from the tables in ``tasks/data``.

Every refusal of a sample order comes from these rows.
"""

import csv
import fcntl
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from itertools import product, starmap
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select

from sagas import upgrade_record
from tasks import inventory, notification, order, payment, points, shipping
from tasks.database import Database

__all__ = ["DATA", "DATABASES", "create_tables", "prepare", "read", "seed"]

DATA = Path(__file__).parent / "data"

DATABASES = tuple(
    service.database for service in (order, inventory, payment, points, shipping, notification)
)


@cache
def read(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of one of the tables, as text."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def create_tables() -> None:
    """Create the tables of every service if they are missing."""
    for database in DATABASES:
        database.create()


def seed() -> None:
    """Fill those tables of the services that are empty."""
    customers, methods = read("customers"), read("methods")
    money = [_account(row, Decimal(row["balance"])) for row in customers]
    loyalty = [_account(row, int(row["points"])) for row in customers]
    _fill(inventory.database, inventory.stock, map(_stock, read("products")))
    _fill(payment.database, payment.account, money)
    _fill(payment.database, payment.method, starmap(_method, product(customers, methods)))
    _fill(points.database, points.account, loyalty)
    _fill(shipping.database, shipping.carrier, map(_with_flags, read("carriers")))
    _fill(notification.database, notification.customer, map(_recipient, customers))
    _fill(notification.database, notification.mail_server, map(_with_flags, read("mail_servers")))


def _fill(database: Database, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    with database.begin() as session:
        if not session.scalar(select(func.count()).select_from(table)):
            session.execute(insert(table), list(rows))


def _stock(row: Mapping[str, str]) -> Mapping[str, Any]:
    pieces = int(row["stock"])
    return {"product_id": row["product_id"], "received": pieces, "on_hand": pieces, "reserved": 0}


def _account(row: Mapping[str, str], opening: Decimal | int) -> Mapping[str, Any]:
    return {"customer_id": row["customer_id"], "opening": opening, "balance": opening}


def _method(customer: Mapping[str, str], method: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "customer_id": customer["customer_id"],
        "name": method["name"],
        "accepted": method["name"] != "card" or customer["card"] == "accepted",
        "order_limit": Decimal(method["order_limit"]),
    }


def _recipient(customer: Mapping[str, str]) -> Mapping[str, str]:
    return {name: customer[name] for name in ("customer_id", "name", "email")}


def _with_flags(row: Mapping[str, str]) -> Mapping[str, Any]:
    flags = {"true": True, "false": False}
    return {name: flags.get(value, value) for name, value in row.items()}


def prepare() -> None:
    """Prepare the shop for opening: the services' tables, the record of the sagas, the data.

    It is safe to repeat, and several processes on one machine may call it at once.
    """
    with (DATA / "products.csv").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        create_tables()
        upgrade_record()
        seed()
    # A later fork must not inherit a connection: SQLite would rely on locks that it does not have.
    for database in DATABASES:
        database.dispose()


if __name__ == "__main__":
    prepare()
