"""What a soak shows, read from the record, the ledger and the logs once everything has ended."""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from sagas import barrier
from sagas.record import tables as t
from sagas.record.database import Database
from tests.soak.strikes import Strike
from tests.support.workers import FENCED

__all__ = ["Durations", "Measures", "measure"]


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations of one sort, in seconds."""

    values: Sequence[float]

    def percentile(self, share: float) -> float:
        """Return the smallest duration that so large a share does not exceed; NaN of none."""
        ordered = sorted(self.values)
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of a soak.

    ``ran``: how many attempts of each step each worker began. ``errors``: how many attempts ended
    with each type of error. ``killed``: from the kill of a worker, or of its child, until what it
    held was taken over. ``lost``: from the loss of all messages until a saga's message was sent
    again. ``resumed``: from the end of a fault of each kind until the next step of any saga ended
    well.
    """

    ends: Mapping[tuple[str, str], int]
    events: Counter[str]
    ran: Counter[tuple[str, str]]
    errors: Counter[str]
    null_compensations: int
    fenced: int
    killed: Durations
    lost: Durations
    resumed: Mapping[str, Durations]


def measure(
    record: Database, services: Database, strikes: Sequence[Strike], logs: Iterable[Path]
) -> Measures:
    """Read everything once."""
    history = _History(strikes)
    record.read(history.read)
    return Measures(
        ends=record.read(_ends),
        events=history.events,
        ran=history.ran,
        errors=history.errors,
        null_compensations=services.read(_null_compensations),
        fenced=sum(line.count(FENCED) for log in logs for line in log.open()),
        killed=Durations(history.killed),
        lost=Durations(history.lost),
        resumed=_resumed(strikes, sorted(history.progress)),
    )


def _ends(connection: Connection) -> dict[tuple[str, str], int]:
    counts = select(t.saga.c.name, t.saga.c.status, func.count()).group_by(
        t.saga.c.name, t.saga.c.status
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(counts)}


def _null_compensations(connection: Connection) -> int:
    tombstones = barrier.table.c.operation == "action", barrier.table.c.made_by == "compensation"
    return connection.scalar(select(func.count()).where(*tombstones)) or 0


class _History:
    """What the histories tell of recoveries."""

    def __init__(self, strikes: Sequence[Strike]) -> None:
        self.events: Counter[str] = Counter()
        self.ran: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[str] = Counter()
        self.killed: list[float] = []
        self.lost: list[float] = []
        self.progress: list[float] = []
        self._on_worker: dict[str, list[float]] = defaultdict(list)
        for strike in strikes:
            if strike.worker:
                self._on_worker[strike.worker].append(strike.began_at)
        self._losses = sorted(s.ended_at for s in strikes if s.kind.loses_messages)

    def read(self, connection: Connection) -> None:
        """Read every history, saga by saga."""
        columns = t.history.c
        query = select(
            columns.saga_id, columns.at, columns.event, columns.step, columns.detail
        ).order_by(columns.saga_id, columns.id)
        rows = connection.execution_options(yield_per=5000).execute(query)
        for _, entries in groupby(rows, key=lambda row: row.saga_id):
            self._follow(entries)

    def _follow(self, entries: Iterable[Row[*tuple[Any, ...]]]) -> None:
        held_at, holder, before = math.inf, "", 0.0
        for entry in entries:
            at = entry.at.timestamp()
            if entry.step is None:
                self.events[entry.event] += 1
            if entry.detail and "hostname" in entry.detail:
                held_at, holder = at, entry.detail["hostname"].partition("@")[0]
                self.ran[holder, entry.step] += 1
            if entry.detail and "error" in entry.detail:
                self.errors[entry.detail["error"]["type"]] += 1
            if entry.event == "taken over":
                self._note(self.killed, self._on_worker[holder], held_at, at)
            elif entry.event == "sent again":
                self._note(self.lost, self._losses, before, at)
            elif entry.event in ("SUCCESS", "COMPENSATED") and entry.step:
                self.progress.append(at)
            before = at

    def _note(self, into: list[float], strikes: list[float], after: float, until: float) -> None:
        """Note how long ago the first strike was that came after one moment, and before another."""
        if since := [moment for moment in strikes if after <= moment <= until]:
            into.append(until - min(since))


def _resumed(strikes: Sequence[Strike], progress: Sequence[float]) -> dict[str, Durations]:
    waits: dict[str, list[float]] = defaultdict(list)
    for strike in strikes:
        at = bisect_left(progress, strike.ended_at)
        if at < len(progress):
            waits[strike.kind.title].append(progress[at] - strike.ended_at)
    return {title: Durations(values) for title, values in waits.items()}
