"""Sagas told in a few words, with what a participant wrote down of them.

A history is told entry by entry: ``"STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; COMPLETED"``. An
epoch stands in front, ``"2: COMPENSATING"``, and holds until another does; ``a-`` is the
compensation of ``a``; an attempt follows a ``#``, what the detail has follows a ``?``.

A ledger is told line by line: ``"a+ b+ a-"``; ``a+!`` was refused, ``a+=`` taken for a repeat, and
``a+@K`` had the idempotency key K.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sagas.events import Event
from sagas.plan import Plan, PlannedStep
from sagas.record.queries import HistoryEntry
from sagas.states import SagaStatus, StepStatus
from sagas.testing import Effect, Observed
from tests.support.states import planned

__all__ = ["SAGA", "effects", "history", "told"]

SAGA = UUID(int=7)
PLAN = (planned("a"), planned("b"))
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
_ENTRY = re.compile(r"(?:(\d+): )?(?:([a-z])(-?) )?([\w ]+?)(?: #(\d+))?(?: \?(\w+))?")
_LINE = re.compile(r"([a-z])([+-])([!=]?)(?:@(\w+))?")
_STATUSES = {Event(status) for status in SagaStatus}
_STEPS = {Event(status): status for status in StepStatus}
_RESULTS = {"": "applied", "!": "refused", "=": "duplicate"}


def history(text: str) -> list[HistoryEntry]:
    """Return the history that is told."""
    entries: list[HistoryEntry] = []
    now = 1
    for number, told_entry in enumerate(text.split("; ")):
        match = _ENTRY.fullmatch(told_entry)
        assert match, told_entry
        epoch, step, undo, event, attempt, detail = match.groups()
        now = int(epoch or now)
        operation = ("compensation" if undo else "action") if step else None
        entries.append(
            HistoryEntry(
                id=number,
                at=MOMENT,
                epoch=now,
                event=Event(event),
                step=step,
                operation=operation,
                attempt=int(attempt or 1) if step else None,
                actor="somebody",
                detail={detail: False} if detail else None,
            )
        )
    return entries


def effects(text: str, saga_id: UUID = SAGA) -> list[Effect]:
    """Return the ledger that is told."""
    found = []
    for line in text.split():
        match = _LINE.fullmatch(line)
        assert match, line
        step, sign, result, key = match.groups()
        operation = "action" if sign == "+" else "compensation"
        found.append(Effect(saga_id, step, operation, _RESULTS[result], key))
    return found


def told(
    text: str,
    ledger: str | None = None,
    *,
    plan: Sequence[PlannedStep] = PLAN,
    **changes: Any,
) -> Observed:
    """Return the saga of a history, at rest where that leaves it, but for the *changes*."""
    entries = history(text)
    own = [entry for entry in entries if entry.step is None and entry.event in _STATUSES]
    values: dict[str, Any] = {
        "id": SAGA,
        "name": "trip",
        "key": "T-1",
        "status": SagaStatus(own[-1].event),
        "epoch": entries[-1].epoch,
        "plan": Plan("trip", tuple(plan)),
        "steps": {e.step: _STEPS[e.event] for e in entries if e.step and e.event in _STEPS},
        "history": entries,
        "alerts": [entry.epoch for entry in own if entry.event == "FAILED"],
        "effects": None if ledger is None else effects(ledger),
    }
    return Observed(**{**values, **changes})
