"""The plan: what a saga will do, as plain data.

A plan names tasks and policies and holds no code, so any worker can decide what comes next, even
one that does not have the tasks. Its content hash is pinned to each saga at the start; steps are
identified by name, never by position.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sagas.errors import DefinitionError, PlanUnreadable
from sagas.retry import Retry
from sagas.states import Operation

__all__ = ["Plan", "PlannedCall", "PlannedStep"]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One direction of a step: its Celery task, queue, retry policy and timeout.

    *queue* is None where Celery's own routing decides; *timeout_s* is None where an attempt may
    take any time.
    """

    task: str
    queue: str | None
    retry: Retry
    timeout_s: float | None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan, identified by *name*.

    *best_effort*: its failure never turns the saga back. *pivot*: once it may have happened, there
    is no way back. *read_only*: it leaves nothing to undo. *probe*: it has a function that asks the
    participant whether the action happened.
    """

    name: str
    action: PlannedCall
    compensation: PlannedCall | None
    best_effort: bool = False
    pivot: bool = False
    read_only: bool = False
    probe: bool = False

    def call(self, operation: Operation) -> PlannedCall | None:
        """Return the call of one direction; None where the step has no compensation."""
        return self.action if operation is Operation.ACTION else self.compensation


@dataclass(frozen=True)
class Plan:
    """The ordered steps of a saga definition; *deadline_s* counts from a saga's start."""

    name: str
    steps: tuple[PlannedStep, ...]
    deadline_s: float | None = None

    def __iter__(self) -> Iterator[PlannedStep]:
        return iter(self.steps)

    def __getitem__(self, step: str) -> PlannedStep:
        """Return the step of that name; raises KeyError."""
        return self.steps[self.positions[step]]

    def __hash__(self) -> int:
        return hash(self.hash)  # of a long plan, the dataclass's own would visit every step

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each step, by its name."""
        return {step.name: position for position, step in enumerate(self.steps)}

    @property
    def pivot(self) -> PlannedStep | None:
        """The step after which there is no way back; a plan has one at most."""
        return next((step for step in self.steps if step.pivot), None)

    def to_json(self) -> str:
        """Write the plan in a canonical form: the same plan gives the same text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what ``to_json`` wrote.

        Raises:
            PlanUnreadable: it says what this version does not know, or is damaged.
        """
        try:
            body = json.loads(text)
            return cls(body["name"], tuple(map(_step, body["steps"])), body["deadline_s"])
        except (DefinitionError, KeyError, TypeError, ValueError) as error:
            raise PlanUnreadable(
                "A plan in the record cannot be read by this version of celery-sagas "
                f"({type(error).__name__}: {error}). If a newer one has written it, deploy that "
                "one; otherwise it is damaged."
            ) from error

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _step(body: dict[str, Any]) -> PlannedStep:
    compensation = body["compensation"]
    calls = {
        "action": _call(body["action"]),
        "compensation": _call(compensation) if compensation else None,
    }
    return PlannedStep(**{**body, **calls})


def _call(body: dict[str, Any]) -> PlannedCall:
    return PlannedCall(**{**body, "retry": Retry(**body["retry"])})
