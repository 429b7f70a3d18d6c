"""A run in which a kind of thing never happened proves nothing about it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sagas.events import Event
from sagas.states import Operation
from tests.models.schedules.participant import COMPENSATION
from tests.models.schedules.world import World

__all__ = ["EXPECTED", "missing", "tally"]

_KILLED = {
    "start": ("committed",),
    "action": ("granted", "back from its function", "recorded", "without a reply"),
    "compensation": ("granted", "back from its function", "recorded", "without a reply"),
    "sweep": ("has asked for evidence", "committed", "without a reply"),
    "take-back": ("has read what it holds", "committed"),
    "errback": ("has found its epoch current", "committed"),
    "operator": ("committed", "without a reply"),
    "late": ("on its way",),
}

#: Everything that a run must have seen.
EXPECTED = (
    "ended: COMPLETED",
    "ended: COMPENSATED",
    "parked",
    "null compensation",
    "fenced",
    "prediction: right",
    "prediction: wrong",
    "rescue: sent",
    "rescue: sent again",
    "rescue: sent once more",
    "rescue: taken over",
    "deadline passed",
    "timed out",
    "lost for the last time",
    *(f"postponed: {operation}" for operation in Operation),
    "postponed while in doubt",
    "postponed for the last time",
    "skipped at the start",
    "compensation failed",
    "stuck at several steps",
    *(
        f"person: {what}"
        for what in ("cancelled", "cancel requested", "retried", "skipped by operator")
    ),
    *(f"person: {what}" for what in ("resolved", "declined", "nothing to do")),
    *(f"fault: {mood}" for mood in ("refuse", "busy", "error before", "error after", "late")),
    *(f"fault: worker {what}" for what in ("killed", "stopped", "silent")),
    "fault: another answer",
    "fault: applied again",
    "fault: broker flushed",
    "fault: false evidence",
    "fault: message lost",
    "fault: redelivered",
    "fault: reply lost",
    *(f"fault: {what} killed {at}" for what, places in _KILLED.items() for at in places),
)


def missing(counts: Counter[str]) -> list[str]:
    """Return what never occurred."""
    return [what for what in EXPECTED if not counts[what]]


def tally(world: World) -> Counter[str]:
    """Count what occurred in a schedule that is over."""
    return world.counts + Counter(_seen(world))


def _seen(world: World) -> Iterator[str]:
    yield f"ended: {world.saga.status}"
    yield from [kind for kind, _ in world.record.alerts]
    if world.skipped:
        yield "skipped at the start"
    for _, entry in world.record.history:
        detail: Mapping[str, Any] = entry.detail or {}
        if entry.event is Event.DEADLINE_PASSED:
            yield entry.event
        elif entry.event is Event.COMPENSATION_FAILED:
            yield "compensation failed"
        elif entry.event is Event.FAILED and entry.step is None and len(detail["steps"]) > 1:
            yield "stuck at several steps"
        elif detail.get("error", {}).get("type") == "AttemptTimedOut":
            yield "timed out"
        elif "losses" in detail and "retry_in_s" not in detail:
            yield "lost for the last time"
        yield from _postponed(entry.event, detail)
    lines = [(step, what) for step, what, result in world.participant.ledger if result == "applied"]
    if len(lines) > len(set(lines)):
        yield "fault: applied again"
    refused = (line for line in world.participant.ledger if line.result == "refused")
    if any(line.operation is COMPENSATION for line in refused):
        yield "null compensation"


def _postponed(event: Event, detail: Mapping[str, Any]) -> Iterator[str]:
    if event is Event.UNKNOWN and "postponed_s" in detail:
        yield "postponed while in doubt"
    elif detail.get("error", {}).get("type") == "PostponedTooLong":
        yield "postponed for the last time"
