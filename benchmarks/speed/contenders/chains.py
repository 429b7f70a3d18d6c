"""A saga written by hand as a Celery chain, with or without a record beside it."""

from collections.abc import Callable

from celery import Celery, Task, chain
from celery.signals import task_postrun

from benchmarks.speed.place import FIRST, LAST, STEPS, Order, here
from benchmarks.speed.work import tell_end, work

__all__ = ["Write", "chain_of"]

#: Writes to a record that a step of a saga is "DONE" or "UNDONE".
Write = Callable[[int, int, str], None]

_DO, _UNDO = "chain.do", "chain.undo"


def chain_of(app: Celery, write: Write | None = None) -> Callable[[Order], None]:
    """Register the tasks of the chain, and return the function that publishes it."""

    def do(order: Order, index: int) -> None:
        work(index)
        if write:
            write(order["number"], index, "DONE")

    def undo(order: Order, index: int) -> None:
        if write:
            write(order["number"], index, "UNDONE")

    def turn_back(task: Task, failed_id: str, order: Order) -> None:
        del task, failed_id
        chain(*(undone.si(order, index) for index in reversed(STEPS[:LAST]))).apply_async()

    def start(order: Order) -> None:
        *before, last = (done.si(order, index) for index in STEPS)
        if here().refuses:
            last.link_error(turned_back.s(order))
        chain(*before, last).apply_async()

    done = app.task(do, name=_DO, throws=(Exception,))
    undone = app.task(undo, name=_UNDO)
    # Celery sends an errback as a message if it is bound, and calls it in place otherwise.
    turned_back = app.task(turn_back, name="chain.turn_back", bind=True)
    task_postrun.connect(_tell, weak=False)
    return start


def _tell(*, sender: Task, args: tuple[object, ...], state: str, **_: object) -> None:
    match sender.name, args:
        case (str(name), ({"number": int(number)}, int(index))) if state == "SUCCESS":
            if (name, index) in ((_DO, LAST), (_UNDO, FIRST)):
                tell_end(number)
