"""What must hold of a schedule that is over: the one checker's word."""

from sagas.record.queries import HistoryEntry
from sagas.testing import Effect, Observed, Violation, violations_of
from tests.models.schedules.record import Record
from tests.models.schedules.world import World

__all__ = ["history_of", "violations"]


def violations(world: World) -> list[Violation]:
    """Return every rule that the saga breaks.

    Of participants that honour no key, or forget it, only what is promised to them is checked:
    their effects come once at least, and each is asked to be undone.
    """
    weak = () if world.participant.kind.reliable else tuple(world.saga.steps)
    return violations_of(_observed(world), parked=(), at_least_once=weak)


def _observed(world: World) -> Observed:
    saga = world.saga
    lines = world.participant.ledger
    return Observed(
        id=saga.id,
        name=saga.name,
        key=saga.key,
        status=saga.status,
        epoch=saga.epoch,
        plan=saga.plan,
        steps={name: step.status for name, step in saga.steps.items()},
        history=history_of(world.record),
        alerts=world.record.parked_at,
        effects=[Effect(saga.id, step, operation, result) for step, operation, result in lines],
    )


def history_of(record: Record) -> list[HistoryEntry]:
    """Return the history as the record would be read."""
    return [
        HistoryEntry(
            number,
            entry.at,
            entry.epoch,
            entry.event,
            entry.step,
            entry.operation,
            entry.attempt,
            actor,
            entry.detail,
        )
        for number, (actor, entry) in enumerate(record.history, 1)
    ]
