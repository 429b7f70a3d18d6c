"""What must hold of every saga, whatever was killed on the way.

The numbers S2 … S12 and L1 are those of the list of invariants in ``docs/explanation``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Connection, select

from sagas.plan import Plan
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.queries import HistoryEntry
from sagas.states import ENDED, SAGA_EDGES, SagaStatus, StepStatus

__all__ = ["Effect", "violations"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of a participant's append-only ledger: an effect that was applied."""

    saga_id: UUID
    step: str
    operation: str


def violations(database: Database, effects: Sequence[Effect]) -> list[str]:
    """Return what is wrong, in words; nothing, if every invariant holds.

    *effects* are those of participants that use the barrier, in the order they were applied.
    """
    return database.read(lambda c: _all_violations(c, effects))


def _all_violations(connection: Connection, effects: Sequence[Effect]) -> list[str]:
    found = []
    rows = connection.execute(select(t.saga, t.plan.c.body).join(t.plan)).all()
    for row in rows:
        of_saga = [effect for effect in effects if effect.saga_id == row.id]
        saga = _Checked(
            SagaStatus(row.status),
            Plan.from_json(row.body),
            {step.name: step.status for step in queries.steps_of(connection, row.id)},
            queries.history_of(connection, row.id),
            [(effect.step, effect.operation) for effect in of_saga],
            connection.scalars(select(t.alert.c.epoch).where(t.alert.c.saga_id == row.id)).all(),
        )
        found += [f"saga {row.key} ({row.id}, {row.status}): {what}" for what in saga.violations()]
    known = {row.id for row in rows}
    found += [
        f"an effect of no saga: {effect}" for effect in effects if effect.saga_id not in known
    ]
    return found


@dataclass(frozen=True, slots=True)
class _Checked:
    status: SagaStatus
    plan: Plan
    steps: dict[str, StepStatus]
    history: Sequence[HistoryEntry]
    effects: list[tuple[str, str]]
    alerts: Sequence[int]

    def violations(self) -> list[str]:
        found = [*self._status(), *self._order(), *self._ledger(), *self._alerts()]
        if self.status is SagaStatus.COMPLETED:
            found += self._completed()
        if self.status is SagaStatus.COMPENSATED:
            found += self._compensated()
        return found

    def _status(self) -> list[str]:
        found = [] if self.status in ENDED else [f"L1: it has not ended; {self._tail()}"]
        walked = [SagaStatus(e.event) for e in self.history if e.step is None and _is_status(e)]
        pairs = pairwise(walked)
        found += [f"S2: {a} -> {b}" for a, b in pairs if b not in SAGA_EDGES[a]]
        if not walked or walked[-1] is not self.status:
            found.append(f"S2: its history ends with {walked[-1:]}")
        if {SagaStatus.COMPLETED, SagaStatus.COMPENSATED} <= set(walked):
            found.append("S3: both completed and compensated")
        epochs = [entry.epoch for entry in self.history]
        return found if epochs == sorted(epochs) else [*found, f"S10: epochs {epochs}"]

    def _tail(self) -> str:
        return "; ".join(f"{e.at:%M:%S.%f} {e.event} {e.step} {e.actor}" for e in self.history[-6:])

    def _order(self) -> list[str]:
        found = []
        names = [step.name for step in self.plan]
        settled: set[str] = set()
        undone: list[str] = []
        for entry in self.history:
            if entry.event == "retried":
                undone = []  # what a person has tried again comes after what was undone before
            if entry.step is None:
                continue
            if entry.operation == "compensation" and entry.event == StepStatus.COMPENSATED:
                undone.append(entry.step)
            elif entry.event == StepStatus.RUNNING:
                missing = set(names[: names.index(entry.step)]) - settled
                if missing:
                    found.append(f"S9: {entry.step} ran before {missing} was settled")
            elif entry.event in ("SUCCESS", "SKIPPED") or self.plan[entry.step].best_effort:
                settled.add(entry.step)
            if entry.operation == "compensation" and self._passed(settled):
                found.append(f"S6: {entry.step} was undone past the pivot")
        if undone != sorted(undone, key=names.index, reverse=True):
            found.append(f"S8: undone in the order {undone}")
        return found

    def _passed(self, settled: set[str]) -> bool:
        return any(
            pivot.name in settled and self.steps[pivot.name] is not StepStatus.SKIPPED
            for pivot in self.plan.pivots
        )

    def _alerts(self) -> list[str]:
        parked = sorted(entry.epoch for entry in self.history if self._parks(entry))
        alerts = sorted(self.alerts)
        return [] if parked == alerts else [f"S12: parked in {parked}, alerts in {alerts}"]

    def _parks(self, entry: HistoryEntry) -> bool:
        return entry.step is None and entry.event == SagaStatus.FAILED

    def _ledger(self) -> list[str]:
        found = [
            f"S4: {what} applied {n} times" for what, n in Counter(self.effects).items() if n > 1
        ]
        for place, (step, operation) in enumerate(self.effects):
            if operation == "action" and (step, "compensation") in self.effects[:place]:
                found.append(f"S7: the action of {step} was applied after its compensation")
            if operation == "compensation" and (step, "action") not in self.effects[:place]:
                found.append(f"S7: {step} was undone without its action")
        return found

    def _completed(self) -> list[str]:
        wanted = [
            (step.name, "action")
            for step in self.plan
            if self.steps.get(step.name) is not StepStatus.SKIPPED and not step.best_effort
        ]
        missing = set(wanted) - set(self.effects)
        undone = [effect for effect in self.effects if effect[1] == "compensation"]
        found = [f"S5: completed without {missing}"] if missing else []
        return [*found, f"S5: completed with {undone}"] if undone else found

    def _compensated(self) -> list[str]:
        done = {step for step, operation in self.effects if operation == "action"}
        undone = {step for step, operation in self.effects if operation == "compensation"}
        found = [f"S6: {step} is not undone" for step in sorted(done - undone)]
        unknown = [name for name, status in self.steps.items() if status is StepStatus.UNKNOWN]
        return [*found, f"S6: the outcome of {unknown} is unknown"] if unknown else found


def _is_status(entry: HistoryEntry) -> bool:
    return entry.event in set(SagaStatus)
