"""What a check of the set-up found: fine, doubtful or broken, and what to do about it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from sagas.record.workers import WorkerView, known_workers
from sagas.runtime.app import Runtime

__all__ = ["Check", "Finding", "Level", "Setup", "error", "ok", "warning"]

#: How long workers may take to answer.
PATIENCE_S = 1.0


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found, and the remedy where one is needed."""

    level: Level
    text: str
    remedy: str | None = None


def ok(text: str) -> Finding:
    """Return a finding that needs no remedy."""
    return Finding(Level.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Return a finding that sagas can live with."""
    return Finding(Level.WARNING, text, remedy)


def error(text: str, remedy: str | None = None) -> Finding:
    """Return a finding that keeps sagas from running."""
    return Finding(Level.ERROR, text, remedy)


class Setup:
    """What the checks look at: an app with its record and its broker."""

    def __init__(self, own: Runtime) -> None:
        self.own = own
        self.app = own.app

    @property
    def steps(self) -> dict[str, Any]:
        """The tasks of steps, by name."""
        return {name: task for name, task in self.app.tasks.items() if hasattr(task, "saga_queue")}

    @cached_property
    def living(self) -> list[WorkerView]:
        """The workers with a heartbeat in the record within the lease."""
        lease_s = self.own.settings.saga_lease_s
        known = self.own.database.read(known_workers)
        return [worker for worker in known if worker.silent_s <= lease_s]

    @cached_property
    def answering(self) -> Mapping[str, Any]:
        """The workers that answer on this broker, by node name, with Celery's figures of each."""
        try:
            answers: Mapping[str, Any] | None = self.app.control.inspect(timeout=PATIENCE_S).stats()
        except Exception:  # noqa: BLE001 - not every transport can ask workers
            return {}
        return answers or {}


@dataclass(frozen=True, slots=True)
class Check:
    """A check by name; it is skipped where a check that it *needs* has found an error."""

    name: str
    run: Callable[[Setup], Iterator[Finding]]
    needs: tuple[str, ...] = ()
