"""A chain, and a record written by hand: one UPDATE a step by psycopg, on an open connection."""

import os
from functools import cache

import psycopg

from benchmarks.speed.contenders.celery_app import make_app
from benchmarks.speed.contenders.chains import chain_of
from benchmarks.speed.place import FIRST, LAST, Order, here

__all__ = ["app", "prepare", "recorded", "start"]

_TABLE = """
CREATE TABLE booking (
    number bigint PRIMARY KEY,
    note text NOT NULL,
    step integer NOT NULL,
    status text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""


def prepare() -> None:
    """Create the record."""
    _connection(os.getpid()).execute(_TABLE)


def start(order: Order) -> None:
    """Insert the saga, then publish its chain."""
    _connection(os.getpid()).execute(
        "INSERT INTO booking (number, note, step, status) VALUES (%s, %s, -1, 'STARTED')",
        (order["number"], order["note"]),
    )
    _publish(order)


def recorded() -> int:
    """Count the sagas that have ended."""
    ended = (FIRST, "UNDONE") if here().refuses else (LAST, "DONE")
    query = "SELECT count(*) FROM booking WHERE step = %s AND status = %s"
    row = _connection(os.getpid()).execute(query, ended).fetchone()
    return int(row[0]) if row else 0


def _write(number: int, index: int, status: str) -> None:
    _connection(os.getpid()).execute(
        "UPDATE booking SET step = %s, status = %s, updated_at = now() WHERE number = %s",
        (index, status, number),
    )


@cache
def _connection(pid: int) -> psycopg.Connection:
    del pid  # a connection belongs to the process that opened it
    return psycopg.connect(here().conninfo, autocommit=True, prepare_threshold=0)


app = make_app()
_publish = chain_of(app, _write)
