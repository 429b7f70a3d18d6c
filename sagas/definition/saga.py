"""A saga's declaration, checked as a whole, and its plan."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sagas.definition.call import NAME_LIMIT, checked_duration, is_name, payload_of
from sagas.definition.fit import may_read
from sagas.definition.step import Step, StepDefinition
from sagas.errors import DefinitionError
from sagas.payload import type_name
from sagas.plan import Plan, PlannedStep

__all__ = ["build_plan"]


def build_plan(
    name: str,
    input_type: Any,
    steps: Sequence[StepDefinition[Any, Any] | Step],
    deadline: float | timedelta | None = None,
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
        if step.step_name in seen:
            raise DefinitionError(
                f"Saga {name!r} has two steps named {step.step_name!r}. "
                f"Give one of them another name: Step({step.definition.name}, name=…)."
            )
        if not is_name(step.step_name):
            raise DefinitionError(
                f"Saga {name!r} names a step {step.step_name!r}: "
                f"use 1 to {NAME_LIMIT} printable characters."
            )
        seen.add(step.step_name)
        _check_input(name, input_type, step)
        step.definition.planned_by = name
    steps_planned = _with_pivot(tuple(step.planned for step in placed))
    deadline_s = checked_duration(f"Saga {name!r}", "deadline", deadline)
    plan = Plan(name, steps_planned, deadline_s)
    _check_way_back(plan)
    return plan, placed


def _with_pivot(steps: tuple[PlannedStep, ...]) -> tuple[PlannedStep, ...]:
    """Make the last step the pivot if nothing can undo it and no other step is the pivot."""
    last = next((step for step in reversed(steps) if not step.best_effort), None)
    if last is None or last.compensation or last.read_only or any(step.pivot for step in steps):
        return steps
    return tuple(replace(step, pivot=True) if step is last else step for step in steps)


def _check_way_back(plan: Plan) -> None:
    """Refuse a plan that could turn back over a step that nothing can undo."""
    pivots = [step for step in plan if step.pivot]
    if len(pivots) > 1:
        names = ", ".join(repr(step.name) for step in pivots)
        raise DefinitionError(
            f"Saga {plan.name!r} has several pivots ({names}). There is one point of no return: "
            "keep the first."
        )
    may_fail = [step for step in plan if not step.best_effort]
    for step in may_fail[:-1]:  # after the last one nothing can fail
        if step.pivot:
            return
        if step.compensation is None and not step.read_only:
            raise DefinitionError(
                f"Step {step.name!r} of saga {plan.name!r} has no compensation, and later steps "
                "may fail. Declare one with @<step>.compensation. Or declare that the step leaves "
                "nothing to undo, @step(read_only=True), that its failure does not matter, "
                "Step(…, best_effort=True), or that there is no way back after it, "
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
    definition = step.definition
    calls = [definition.action, definition.compensation_call, definition.probe_call]
    for call in filter(None, calls):
        wanted = call.input.annotation
        if not may_read(wanted, written_as=input_type):
            raise DefinitionError(
                f"Saga {saga!r} has the input {type_name(input_type)}, but {call.task!r} (step "
                f"{step.step_name!r}) takes {type_name(wanted)}. Annotate its first parameter with "
                f"{type_name(input_type)} or a base class of it."
            )
