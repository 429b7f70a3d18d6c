"""A saga's declaration, checked as a whole, and the plan that comes of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from sagas.definition.call import NAME_LIMIT, is_name, payload_of
from sagas.definition.step import Step, StepDefinition
from sagas.errors import DefinitionError
from sagas.plan import Plan, PlannedStep
from sagas.retry import YEAR_S

__all__ = ["build_plan"]


def build_plan(
    name: str,
    input_type: Any,
    steps: Sequence[StepDefinition[Any, Any] | Step],
    deadline: timedelta | None = None,
) -> tuple[Plan, tuple[Step, ...]]:
    """Check a saga's declaration and return its plan; raises DefinitionError."""
    if not is_name(name):
        raise DefinitionError(
            f"A saga is named {name!r}: use 1 to {NAME_LIMIT} printable characters."
        )
    if not steps:
        raise DefinitionError(f"Saga {name!r} has no steps. Give it at least one.")
    payload_of(f"Saga {name!r}", "its input", input_type)
    placed = tuple(_placed(name, step) for step in steps)
    seen: set[str] = set()
    for step in placed:
        if step.key in seen:
            raise DefinitionError(
                f"Saga {name!r} has two steps named {step.key!r}. "
                f"Give one of them another name: Step({step.definition.name}, name=…)."
            )
        if not is_name(step.key):
            raise DefinitionError(
                f"Saga {name!r} names a step {step.key!r}: "
                f"use 1 to {NAME_LIMIT} printable characters."
            )
        seen.add(step.key)
        _check_input(name, input_type, step)
        step.definition.planned_by = name
    steps_planned = _with_pivot(tuple(step.planned for step in placed))
    plan = Plan(name, steps_planned, _deadline_s(name, deadline))
    _check_way_back(plan)
    return plan, placed


def _deadline_s(saga: str, deadline: timedelta | None) -> float | None:
    if deadline is None:
        return None
    if not isinstance(deadline, timedelta) or not 0 < deadline.total_seconds() <= YEAR_S:
        raise DefinitionError(
            f"Saga {saga!r} has deadline={deadline!r}: give a timedelta above 0, a year at most, "
            "or None."
        )
    return deadline.total_seconds()


def _with_pivot(steps: tuple[PlannedStep, ...]) -> tuple[PlannedStep, ...]:
    """Make a last step that nothing can undo the pivot, where no other is."""
    last = next((step for step in reversed(steps) if not step.best_effort), None)
    if last is None or last.compensation or last.read_only or any(step.pivot for step in steps):
        return steps
    return tuple(replace(step, pivot=True) if step is last else step for step in steps)


def _check_way_back(plan: Plan) -> None:
    """Refuse a plan that could get stuck on its way back at a step that nothing can undo."""
    if len(plan.pivots) > 1:
        names = ", ".join(repr(step.name) for step in plan.pivots)
        raise DefinitionError(
            f"Saga {plan.name!r} has several pivots ({names}). There is one point of no return: "
            "keep the first."
        )
    may_fail = [step for step in plan if not step.best_effort]
    for step in may_fail[:-1]:  # after the last nothing can fail
        if step.pivot:
            return
        if step.compensation is None and not step.read_only:
            raise DefinitionError(
                f"Step {step.name!r} of saga {plan.name!r} has no compensation, and later steps "
                "may fail. Declare one with @<step>.compensation; or say that it has nothing to "
                "undo, @step(read_only=True); or that it does not matter, "
                "Step(…, best_effort=True); or that there is no way back after it, "
                "Step(…, pivot=True)."
            )


def _placed(saga: str, step: Any) -> Step:
    if isinstance(step, Step):
        return step
    if isinstance(step, StepDefinition):
        return Step(step)
    raise DefinitionError(
        f"Saga {saga!r} lists {step!r}, which is not a step. "
        "Decorate the function with @step, and list the function itself, not a call of it."
    )


def _check_input(saga: str, input_type: Any, step: Step) -> None:
    calls = [step.definition.action, step.definition.undo, step.definition.asks]
    for call in filter(None, calls):
        wanted = call.input.annotation
        if _are_models(wanted, input_type) and not issubclass(input_type, wanted):
            raise DefinitionError(
                f"Saga {saga!r} has the input {input_type.__name__}, but {call.task!r} (step "
                f"{step.key!r}) takes {wanted.__name__}. Annotate its first parameter with "
                f"{input_type.__name__} or a base class of it."
            )


def _are_models(*types: Any) -> bool:
    # Of other types (unions, Any, TypedDict, lists) pydantic judges when the step reads its input.
    return all(isinstance(t, type) and issubclass(t, BaseModel) for t in types)
