"""celery-sagas with its default settings."""

import threading

from celery import Task
from celery.signals import task_postrun
from pydantic import BaseModel

import sagas
from benchmarks.speed.contenders.celery_app import make_app
from benchmarks.speed.place import FIRST, LAST, STEPS, Order, here
from benchmarks.speed.work import Refused, tell_end, work
from sagas import Saga, SagaStatus, Step, StepFailed, step

__all__ = ["app", "prepare", "recorded", "start", "start_many"]

_DO, _UNDO = "bench.do.{}", "bench.undo.{}"


class _Booking(BaseModel):
    number: int
    note: str


_running = threading.local()


def _declare(index: int) -> Step:
    @step(name=_DO.format(index))
    def do(booking: _Booking) -> None:
        _running.number = booking.number
        try:
            work(index)
        except Refused:
            raise StepFailed("no room is left", code="REFUSED") from None

    @do.compensation(name=_UNDO.format(index))
    def undo(booking: _Booking) -> None:
        _running.number = booking.number

    return Step(do)


_saga: Saga[_Booking] = Saga("bench", input=_Booking, steps=[*map(_declare, STEPS)])


def prepare() -> None:
    """Create the record."""
    sagas.upgrade_record()


def start(order: Order) -> None:
    """Start one saga."""
    _saga.start(_Booking(**order))


def start_many(orders: list[Order]) -> None:
    """Start several in one transaction."""
    _saga.start_many([(_Booking(**order), None) for order in orders])


def recorded() -> int:
    """Count the sagas that have ended."""
    ended = SagaStatus.COMPENSATED if here().refuses else SagaStatus.COMPLETED
    return sagas.count_by_status().get(ended, 0)


def _tell(*, sender: Task, **_: object) -> None:
    # After the task, and so after its outcome is committed.
    if sender.name == (_UNDO.format(FIRST) if here().refuses else _DO.format(LAST)):
        tell_end(_running.number)


app = make_app()
app.conf.saga_database_url = here().record_url
sagas.setup(app)
task_postrun.connect(_tell, weak=False)
