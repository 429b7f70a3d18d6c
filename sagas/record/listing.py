"""What a list shows of each saga besides its row: a short id, the step where it is, its age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

from sqlalchemy import Connection, select

from sagas.decision import SagaState, StepState
from sagas.decision.progress import current
from sagas.errors import PlanUnreadable
from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.queries import SagaView
from sagas.sql import chunked, now
from sagas.states import ENDED, Operation, SagaStatus, StepStatus

__all__ = ["ListedSaga", "listed"]

#: Shorter ids would soon name two sagas: these digits are the time of the start in minutes.
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class ListedSaga:
    """A saga as a list shows it.

    Attributes:
        saga: its row.
        short_id: the beginning of its id, long enough that no other saga of the record has it now.
        step: where it is: the step that runs or is next, those it is parked at, or the one that
            turned it back.
        age_s: the seconds since its start, by the database's clock.
    """

    saga: SagaView
    short_id: str
    step: str | None
    age_s: float


def listed(connection: Connection, sagas: Sequence[SagaView]) -> list[ListedSaga]:
    """Return what a list shows of these sagas, in their order."""
    moment = connection.execute(select(now())).scalar_one()
    short = dict(_short_ids(connection, [saga.id for saga in sagas]))
    live = dict(_current_steps(connection, [s for s in sagas if s.status not in ENDED]))
    return [
        ListedSaga(
            saga,
            short[saga.id],
            live.get(saga.id) or _last_step(saga),
            (moment - saga.started_at).total_seconds(),
        )
        for saga in sagas
    ]


def _last_step(saga: SagaView) -> str | None:
    if saga.parked:
        return ", ".join(saga.parked["steps"])
    return saga.failure["step"] if saga.failure else None


def _short_ids(connection: Connection, ids: Sequence[UUID]) -> Iterator[tuple[UUID, str]]:
    """Return the shortest beginning of each id that none of its neighbours in the record has."""
    other = t.saga.alias("other")
    before = select(other.c.id).where(other.c.id < t.saga.c.id).order_by(other.c.id.desc())
    behind = select(other.c.id).where(other.c.id > t.saga.c.id).order_by(other.c.id)
    neighbours = (
        before.limit(1).correlate(t.saga).scalar_subquery(),
        behind.limit(1).correlate(t.saga).scalar_subquery(),
    )
    for some in chunked(ids):
        query = select(t.saga.c.id, *neighbours).where(t.saga.c.id.in_(some))
        for found, *others in connection.execute(query):
            shared = max((_shared(found, near) for near in others if near), default=0)
            yield found, str(found)[: max(shared + 1, _SHORTEST)]


def _shared(one: UUID, other: UUID) -> int:
    """Return how many characters the two ids have in common at their beginning."""
    pairs = zip(str(one), str(other), strict=True)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _current_steps(
    connection: Connection, sagas: Sequence[SagaView]
) -> Iterator[tuple[UUID, str | None]]:
    for some in chunked(sagas):
        plans = _plans(connection, [saga.id for saga in some])
        steps = _steps(connection, [saga.id for saga in some])
        for saga in some:
            if (plan := plans.get(saga.id)) is not None:
                yield saga.id, _current_step(saga, plan, steps[saga.id])


def _current_step(saga: SagaView, plan: Plan, steps: Mapping[str, StepState]) -> str | None:
    back = saga.status is SagaStatus.COMPENSATING
    state = SagaState(
        saga.id, saga.name, saga.key, saga.status, saga.epoch, plan, steps, saga.started_at
    )
    return current(state, Operation.COMPENSATION if back else Operation.ACTION)


def _plans(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Plan]:
    """Return the plan of each saga, unless this version cannot read it."""
    hashes = {
        row.id: row.plan
        for row in connection.execute(
            select(t.saga.c.id, t.saga.c.plan).where(t.saga.c.id.in_(ids))
        )
    }
    bodies = select(t.plan.c.hash, t.plan.c.body).where(t.plan.c.hash.in_(set(hashes.values())))
    plans = {}
    for row in connection.execute(bodies):
        try:
            plans[row.hash] = Plan.from_json(row.body)
        except PlanUnreadable:
            continue
    return {saga_id: plans[found] for saga_id, found in hashes.items() if found in plans}


def _steps(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, StepState]]:
    columns = (t.step.c.saga_id, t.step.c.name, t.step.c.status, t.step.c.retry_at)
    found: dict[UUID, dict[str, StepState]] = {saga_id: {} for saga_id in ids}
    for row in connection.execute(select(*columns).where(t.step.c.saga_id.in_(ids))):
        step = StepState(row.name, StepStatus(row.status), retry_at=row.retry_at)
        found[row.saga_id][row.name] = step
    return found
