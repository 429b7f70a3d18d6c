"""The steps written by hand: a chain, an errback for each step, and no record.

Each step's errback undoes the steps before it in reverse order; it assumes that the failed step has
done nothing. The errback is bound, so that Celery sends it as a message.
"""

from functools import cache

from celery import Celery, Task, chain, shared_task

from benchmarks.kills.participant import ACTION, STEPS, UNDO, Participant, take_time
from benchmarks.kills.place import VISIBILITY_TIMEOUT_S, Place, Variant

__all__ = ["Declined", "make_app", "start"]


class Declined(Exception):
    """The last step declines, before it has any effect."""


@shared_task(bind=True, name="chain.do")  # type: ignore[untyped-decorator]  # Celery has no types
def do(task: Task, number: int, step: str, declines: bool) -> None:  # noqa: FBT001 - a message
    """Run one step."""

    def effect() -> None:
        if declines:
            raise Declined(step)
        _append(task, number, step, ACTION)

    take_time(effect)


@shared_task(bind=True, name="chain.undo")  # type: ignore[untyped-decorator]
def undo(task: Task, number: int, step: str) -> None:
    """Undo one step."""
    take_time(lambda: _append(task, number, step, UNDO))


@shared_task(bind=True, name="chain.turn_back")  # type: ignore[untyped-decorator]
def turn_back(task: Task, failed_task_id: str, number: int, steps: list[str]) -> None:
    """Undo the steps before the one that failed, one after another."""
    del task, failed_task_id
    chain(*(undo.si(number, step) for step in steps)).apply_async()


def start(number: int, *, declines: bool) -> None:
    """Publish the chain."""
    reserve, charge, ship = (do.si(number, step, declines and step == STEPS[-1]) for step in STEPS)
    charge.link_error(turn_back.s(number, ["reserve"]))
    ship.link_error(turn_back.s(number, ["charge", "reserve"]))
    chain(reserve, charge, ship).apply_async()


def make_app(place: Place) -> Celery:
    """Make the app, as the current one."""
    late = place.variant == Variant.CHAIN_LATE
    app = Celery("kills", broker=place.broker_url, set_as_current=True)
    app.conf.update(
        task_acks_late=late,
        task_reject_on_worker_lost=late,
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
    )
    return app


@cache
def _participant() -> Participant:
    return Participant(Place.from_environment().participant_url)


def _append(task: Task, number: int, step: str, operation: str) -> None:
    participant = _participant()
    with participant.engine.begin() as connection:
        participant.append(connection, number, step, operation, task.request.hostname)
