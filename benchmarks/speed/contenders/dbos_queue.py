"""DBOS with a queue: the client enqueues workflows, and two workers run up to 16 each at once.

The workers look for work 20 times a second and not once, which is the default.
"""

import signal

from dbos import DBOS, DBOSClient

from benchmarks.speed.contenders.dbos_app import config, count_ended, engine, run_steps
from benchmarks.speed.place import Order, here
from benchmarks.speed.work import tell_end

__all__ = ["prepare", "recorded", "start", "start_many"]

_QUEUE, _WORKFLOW = "bench", "bench"
_OPTIONS = {"queue_name": _QUEUE, "workflow_name": _WORKFLOW}

_clients: list[DBOSClient] = []


def prepare() -> None:
    """Create the record with its queue, and connect to it."""
    _launch()
    DBOS.destroy()
    _clients.append(DBOSClient(system_database_url=here().record_url))


def start(order: Order) -> None:
    """Enqueue one workflow."""
    _clients[0].enqueue(_OPTIONS, order["number"], order["note"])


def start_many(orders: list[Order]) -> None:
    """Enqueue several workflows in one transaction."""
    with engine().begin() as connection:
        for order in orders:
            _clients[0].enqueue_in_transaction(connection, _OPTIONS, order["number"], order["note"])


def recorded() -> int:
    """Count the workflows that have ended."""
    return count_ended()


def _launch() -> None:
    DBOS(config=config())
    DBOS.launch()
    DBOS.register_queue(_QUEUE, worker_concurrency=16, polling_interval_sec=0.05)


def _run(number: int, note: str) -> None:
    del note
    run_steps()
    tell_end(number)


_workflow = DBOS.workflow(name=_WORKFLOW)(_run)

if __name__ == "__main__":
    _launch()
    signal.sigwait({signal.SIGTERM})
    DBOS.destroy()
