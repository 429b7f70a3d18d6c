"""A short notation for a saga's history and for a participant's ledger.

A history lists its entries: ``"STARTED; a RUNNING; IN_PROGRESS; a SUCCESS; COMPLETED"``. A prefix
sets the epoch, ``"2: COMPENSATING"``, until the next prefix. ``a-`` is the compensation of ``a``. A
``#`` precedes the number of an attempt, a ``?`` the keys of the detail: ``?a=1,b``.

A ledger lists its lines: ``"a+ b+ a-"``. ``a+!`` was refused, ``a+=`` was taken for a repeat, and
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

__all__ = ["SAGA", "effects", "history", "observed"]

SAGA = UUID(int=7)
PLAN = (planned("a"), planned("b"))
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
_ENTRY = re.compile(r"(?:(\d+): )?(?:([a-z])(-?) )?([\w ]+?)(?: #(\d+))?(?: \?([\w=,]+))?")
_LINE = re.compile(r"([a-z])([+-])([!=]?)(?:@(\w+))?")
_STATUSES = {Event(status) for status in SagaStatus}
_STEPS = {Event(status): status for status in StepStatus}
_RESULTS = {"": "applied", "!": "refused", "=": "duplicate"}


def history(text: str) -> list[HistoryEntry]:
    """Read a history."""
    entries: list[HistoryEntry] = []
    now = 1
    for number, part in enumerate(text.split("; ")):
        match = _ENTRY.fullmatch(part)
        assert match, part
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
                detail=_detail(detail) if detail else None,
            )
        )
    return entries


def _detail(text: str) -> dict[str, Any]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {key: int(number) if number else False for key, _, number in pairs}


def effects(text: str, saga_id: UUID = SAGA) -> list[Effect]:
    """Read a ledger."""
    found = []
    for line in text.split():
        match = _LINE.fullmatch(line)
        assert match, line
        step, sign, result, key = match.groups()
        operation = "action" if sign == "+" else "compensation"
        found.append(Effect(saga_id, step, operation, _RESULTS[result], key))
    return found


def observed(
    text: str,
    ledger: str | None = None,
    *,
    plan: Sequence[PlannedStep] = PLAN,
    **changes: Any,
) -> Observed:
    """Return the saga that a history leaves at rest, with the *changes*."""
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
