"""What must hold once a schedule is over, according to the checker of the test kit."""

from sagas.record.queries import HistoryEntry
from sagas.testing import Effect, Observed, Violation, violations_of
from tests.models.schedules.record import Record
from tests.models.schedules.world import World

__all__ = ["history_of", "violations"]


def violations(world: World) -> list[Violation]:
    """Return every rule that the saga breaks.

    Participants that ignore or forget keys are promised less, so less is checked: each effect
    happens at least once, and each is asked to be undone.
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
    """Return the history as a query of the record would."""
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
