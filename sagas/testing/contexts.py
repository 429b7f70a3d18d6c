"""Contexts for unit tests of step functions, without a saga, a record or a broker."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from sagas.context import CompensationContext, Context, Failure
from sagas.definition import StepDefinition
from sagas.ids import uuid7
from sagas.states import Operation, Outcome

__all__ = ["action_context", "compensation_context"]

R = TypeVar("R")
Outputs = Mapping[StepDefinition[Any, Any], object]


def action_context(
    step: StepDefinition[Any, Any],
    *,
    key: str = "TEST-1",
    name: str | None = None,
    attempt: int = 1,
    outputs: Outputs | None = None,
    saga_id: UUID | None = None,
) -> Context:
    """Build the context with which the engine calls an action.

    Args:
        step: the step whose action is called.
        key: the saga's business key.
        name: the step's name in its saga; by default its own.
        attempt: the number of the attempt, from 1.
        outputs: what ``ctx.output_of`` returns, by earlier step.
        saga_id: the saga's id; by default a new one.

    Raises:
        pydantic.ValidationError: an output is not of its step's return type.
    """
    common = _common(step, key, name, attempt, outputs, saga_id)
    return Context(**common, operation=Operation.ACTION, _result_type=step.action.output)


def compensation_context(
    step: StepDefinition[Any, R],
    *,
    output: R | None = None,
    failure: Failure | None = None,
    key: str = "TEST-1",
    name: str | None = None,
    attempt: int = 1,
    outputs: Outputs | None = None,
    saga_id: UUID | None = None,
) -> CompensationContext[R]:
    """Build the context with which the engine calls a compensation.

    Args:
        step: the step whose compensation is called.
        output: what the action returned; None for an unknown outcome.
        failure: what made the saga turn back; by default the refusal of a later step.
        key: the saga's business key.
        name: the step's name in its saga; by default its own.
        attempt: the number of the attempt, from 1.
        outputs: what ``ctx.output_of`` returns, by step.
        saga_id: the saga's id; by default a new one.

    Raises:
        ValueError: the step has no compensation.
        pydantic.ValidationError: an output is not of its step's return type.
    """
    if step.compensation_call is None:
        raise ValueError(f"Step {step.name!r} has no compensation.")
    common = _common(step, key, name, attempt, outputs, saga_id)
    return CompensationContext(
        **common,
        operation=Operation.COMPENSATION,
        output=output,
        outcome=Outcome.UNKNOWN if output is None else Outcome.SUCCESS,
        failure=failure or Failure("a later step", "StepFailed", "it was refused"),
        _result_type=step.compensation_call.output,
    )


def _common(
    step: StepDefinition[Any, Any],
    key: str,
    name: str | None,
    attempt: int,
    outputs: Outputs | None,
    saga_id: UUID | None,
) -> dict[str, Any]:
    dumped = {
        earlier.name: earlier.action.output.dump(output)
        for earlier, output in (outputs or {}).items()
    }
    return {
        "saga_id": saga_id or uuid7(),
        "key": key,
        "step": name or step.name,
        "attempt": attempt,
        "_outputs": dumped,
    }
