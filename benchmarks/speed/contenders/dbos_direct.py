"""DBOS where the client itself runs each workflow; there are no workers."""

from dbos import DBOS

from benchmarks.speed.contenders.dbos_app import config, count_ended, run_steps
from benchmarks.speed.place import Order
from benchmarks.speed.work import tell_end

__all__ = ["prepare", "recorded", "start"]


def prepare() -> None:
    """Create the record and begin to run workflows."""
    DBOS(config=config())
    DBOS.launch()


def start(order: Order) -> None:
    """Run one workflow to its end."""
    _workflow(order["number"], order["note"])
    tell_end(order["number"])


def recorded() -> int:
    """Count the workflows that have ended."""
    return count_ended()


def _run(number: int, note: str) -> None:
    del number, note
    run_steps()


_workflow = DBOS.workflow(name="bench")(_run)
