"""Procrastinate: each job runs a step and defers the job of the next."""

from procrastinate import App, PsycopgConnector
from psycopg import Connection

from benchmarks.speed.place import FIRST, LAST, Order, here
from benchmarks.speed.work import Refused, tell_end, work

__all__ = ["app", "prepare", "recorded", "start", "start_many"]

app = App(connector=PsycopgConnector(conninfo=here().conninfo))


def prepare() -> None:
    """Connect, and create the record."""
    app.open()
    app.schema_manager.apply_schema()


def start(order: Order) -> None:
    """Defer the first job."""
    _done.defer(order=order, index=FIRST)


def start_many(orders: list[Order]) -> None:
    """Defer several first jobs by one statement."""
    _done.batch_defer(*({"order": order, "index": FIRST} for order in orders))


def recorded() -> int:
    """Count the last jobs that have succeeded."""
    name, index = ("undo", FIRST) if here().refuses else ("do", LAST)
    query = """
        SELECT count(*) FROM procrastinate_jobs
        WHERE status = 'succeeded' AND task_name = %s AND args ->> 'index' = %s
    """
    with Connection.connect(here().conninfo) as connection:
        row = connection.execute(query, (name, str(index))).fetchone()
        return int(row[0]) if row else 0


async def _do(order: Order, index: int) -> None:
    try:
        work(index)
    except Refused:
        await _undone.defer_async(order=order, index=index - 1)
        return
    if index < LAST:
        await _done.defer_async(order=order, index=index + 1)
    else:
        tell_end(order["number"])


async def _undo(order: Order, index: int) -> None:
    if index > FIRST:
        await _undone.defer_async(order=order, index=index - 1)
    else:
        tell_end(order["number"])


_done = app.task(name="do")(_do)
_undone = app.task(name="undo")(_undo)
