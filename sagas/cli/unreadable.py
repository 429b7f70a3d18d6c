"""Which payloads of a live saga the code at hand cannot read, and which of its functions need them.

What is said about a payload names declared fields and kinds of error, never a value.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from sagas.decision import SagaState, remaining
from sagas.decision.turn_back import may_have_passed_pivot
from sagas.errors import ConfigurationError
from sagas.hidden import Hidden
from sagas.payload import Payload
from sagas.record.live import LiveSaga
from sagas.states import Operation, SagaStatus
from sagas.worker.step_task import input_of, output_of

__all__ = ["Unreadable", "unreadable_in"]

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION

#: How many problems of one payload are told.
MOST = 5


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A payload that this code cannot read, *what*: "input" or "output", and why.

    An input belongs to the first function that needs it: *operation* of *step*. An output is that
    of *step*, and *operation* is None.
    """

    step: str
    operation: Operation | None
    what: str
    reason: str


def unreadable_in(saga: LiveSaga, decode: Callable[[str], Hidden]) -> list[Unreadable]:
    """Return the payloads that the saga still needs and that this code cannot read."""
    return [*_inputs(saga, decode), *_outputs(saga, decode)]


def _inputs(saga: LiveSaga, decode: Callable[[str], Hidden]) -> Iterator[Unreadable]:
    tried: set[int] = set()
    told: set[str] = set()
    for step, operation in _to_run(saga.state):
        call = saga.state.plan[step].call(operation)
        payload = input_of(call.task) if call else None
        if payload is None or id(payload.annotation) in tried:
            continue
        tried.add(id(payload.annotation))
        reason = _why_not(payload, saga.input, decode)
        if reason is not None and reason not in told:
            told.add(reason)
            yield Unreadable(step, operation, "input", reason)


def _outputs(saga: LiveSaga, decode: Callable[[str], Hidden]) -> Iterator[Unreadable]:
    for step in saga.state.plan:
        kept = saga.outputs.get(step.name)
        payload = output_of(step.action.task)
        if kept is None or payload is None:
            continue
        if (reason := _why_not(payload, kept, decode)) is not None:
            yield Unreadable(step.name, None, "output", reason)


def _to_run(saga: SagaState) -> Iterator[tuple[str, Operation]]:
    """Return the functions that may still run for a saga, actions first."""
    left = remaining(saga, COMPENSATION)
    undone = left.steps if left else ()
    if _goes_forward(saga):
        ahead = remaining(saga, ACTION)
        planned = ahead.steps if ahead else ()
        yield from ((step, ACTION) for step in planned)
        if may_have_passed_pivot(saga):
            return
        undone = (*undone, *planned)  # which may have to be undone once they have run
    elif saga.parked:
        undone = (*saga.parked["steps"], *undone)
    yield from ((step, COMPENSATION) for step in undone)


def _goes_forward(saga: SagaState) -> bool:
    if saga.status is SagaStatus.FAILED:
        return saga.parked is not None and Operation(saga.parked["operation"]) is ACTION
    return saga.status is not SagaStatus.COMPENSATING and not saga.failure


def _why_not(payload: Payload, kept: str, decode: Callable[[str], Hidden]) -> str | None:
    """Return why a payload cannot be read, None where it can."""
    try:
        payload.load(decode(kept))
    except ConfigurationError as error:  # its codec failed; the message quotes nothing
        return str(error)
    except ValidationError as error:
        return _without_values(error, payload.field_names)
    except Exception as error:  # noqa: BLE001 - validators of the application raise anything
        return f"reading it raises {type(error).__name__}"
    return None


def _without_values(error: ValidationError, declared: frozenset[str]) -> str:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    told = dict.fromkeys(f"{_place(p, declared)}: {_kind(p)}" for p in problems)
    more = f"; and {len(told) - MOST} more" if len(told) > MOST else ""
    return "; ".join([*told][:MOST]) + more


def _place(problem: Any, declared: frozenset[str]) -> str:
    *outer, last = problem["loc"] or ("value",)
    # The key of a mapping is a value. A model writes no field that it did not declare then.
    shown = declared | {last} if problem["type"] == "extra_forbidden" else declared
    if not problem["loc"]:
        return "value"
    return ".".join(part if part in shown else "*" for part in map(str, (*outer, last)))


#: Endings of the kinds of error whose sentence goes on, after a comma or a colon, with what a
#: validator or a parser wrote.
_QUOTING = ("_error", "_parsing", "_invalid", "_violation", "_encoding")


def _kind(problem: Any) -> str:
    """Return pydantic's sentence, without what it quotes; validators may write anything."""
    if problem["type"] not in get_args(ErrorType):
        return f"refused ({problem['type']})"
    if problem["type"] == "union_tag_invalid":
        return "Input tag does not match any of the expected tags"
    if problem["type"].endswith(_QUOTING):
        return re.split("[,:]", problem["msg"])[0]
    return str(problem["msg"])
