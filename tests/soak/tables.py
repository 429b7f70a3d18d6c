"""The tables of a soak: the shop's orders beside the record, and what the services own."""

from sqlalchemy import Column, Integer, MetaData, String, Table, Text, insert

from sagas import barrier
from sagas.record.database import Database

__all__ = [
    "CUSTOMERS",
    "PLACES",
    "PRICE",
    "PRODUCTS",
    "PURSES",
    "STOCK",
    "WALLET",
    "alerted",
    "create_tables",
    "ledger",
    "purchase",
    "repaired",
    "stock",
    "wallet",
]

PRODUCTS, CUSTOMERS, STOCK, WALLET, PRICE = 50, 200, 1_000_000, 10_000_000, 10
PURSES = CUSTOMERS + PRODUCTS

#: Each shop numbers its purchases from a place of its own.
PLACES = 10_000_000

#: In the record's database: an order and its saga commit together.
shop_metadata = MetaData()
purchase = Table(
    "purchase",
    shop_metadata,
    Column("number", Integer, primary_key=True),
    Column("saga", String(20), nullable=False),
)

services_metadata = MetaData()
stock = Table(
    "stock",
    services_metadata,
    Column("product", Integer, primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
)
#: The purses of the customers, and behind them the shop's tills, one for each product.
wallet = Table(
    "wallet",
    services_metadata,
    Column("purse", Integer, primary_key=True),
    Column("balance", Integer, nullable=False),
)
ledger = Table(
    "ledger",
    services_metadata,
    Column("id", Integer, primary_key=True),
    Column("saga_id", String(36), nullable=False),
    Column("step", String(100), nullable=False),
    Column("operation", String(20), nullable=False),
    Column("key", String(200), nullable=False),
    Column("result", String(20), nullable=False),
)
#: What the application's hook for alerts was called with.
alerted = Table(
    "alerted",
    services_metadata,
    Column("id", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)
#: Whose broken undo a person has repaired.
repaired = Table("repaired", services_metadata, Column("saga_id", String(36), primary_key=True))


def create_tables(record: Database, of_services: Database) -> None:
    """Create the tables, with full shelves and full purses."""
    shop_metadata.create_all(record.engine)
    services_metadata.create_all(of_services.engine)
    barrier.create_tables(of_services.engine)
    shelves = [{"product": n, "on_hand": STOCK, "reserved": 0, "sold": 0} for n in range(PRODUCTS)]
    purses = [{"purse": n, "balance": WALLET} for n in range(PURSES)]
    of_services.write(lambda c: (c.execute(insert(stock), shelves), None)[1])
    of_services.write(lambda c: (c.execute(insert(wallet), purses), None)[1])
