"""``@step``: declares a step and registers its functions as Celery tasks."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

import celery
from celery import Task, shared_task
from celery.utils.imports import gen_task_name

from sagas.definition import Call, StepDefinition, declare_call
from sagas.errors import DefinitionError, StepFailed
from sagas.retry import Retry
from sagas.runtime.attempt import run_attempt
from sagas.states import Operation

__all__ = ["has_probe", "step"]

P = ParamSpec("P")
R = TypeVar("R")

_OF_MESSAGES = ("queue", "priority")

#: What each task runs, by its name.
_registered: dict[str, tuple[StepDefinition[Any, Any], Operation]] = {}


@overload
def step(function: Callable[P, R], /) -> StepDefinition[P, R]: ...


@overload
def step(
    *,
    name: str | None = None,
    retry: Retry = ...,
    timeout: float | timedelta | None = None,
    read_only: bool = False,
    **options: Any,
) -> Callable[[Callable[P, R]], StepDefinition[P, R]]: ...


def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    timeout: float | timedelta | None = None,
    read_only: bool = False,
    **options: Any,
) -> StepDefinition[P, R] | Callable[[Callable[P, R]], StepDefinition[P, R]]:
    """Declare a function as a step: one local transaction of one service.

    The function is called with the saga's input and, if it has a second parameter, the
    ``Context``. What it returns is its output: a pydantic model, a dataclass or a JSON
    value, as annotated.

    * Returning: the outcome is SUCCESS.
    * ``raise StepFailed``: FAILED, certainly no effect; the saga turns back without a retry.
    * Any other exception: the outcome is UNKNOWN. It is tried again by *retry* with the same
      idempotency key; after the last attempt the saga turns back, this step included.

    Args:
        function: the function, where ``@step`` stands without parentheses.
        name: the task's name, and the step's; by default as Celery names tasks.
        retry: how often and when an attempt is repeated.
        timeout: seconds (or a timedelta) that one attempt may take; then its outcome is UNKNOWN.
        read_only: it leaves nothing behind that would have to be undone.
        options: any further option of a Celery task: ``queue``, ``rate_limit``, ``priority``, …

    Raises:
        DefinitionError: the declaration cannot work; the message names the step and the remedy.
    """

    def declare(function: Callable[P, R]) -> StepDefinition[P, R]:
        if not inspect.isfunction(function):
            raise DefinitionError(
                f"@step stands before {function!r}, which is not a function. "
                "Write @step or @step(name=…) above a def."
            )
        task = name or gen_task_name(celery.current_app, function.__name__, function.__module__)
        action = declare_call(function, task, retry=retry, timeout=timeout, options=options)
        return StepDefinition(function, action, _register, read_only=read_only)

    return declare if function is None else declare(function)


def has_probe(task: str) -> bool:
    """Tell whether this process declares a probe for the step whose action is that task."""
    return task in _registered and _registered[task][0].asks is not None


def _register(definition: StepDefinition[Any, Any], operation: Operation, call: Call) -> None:
    known = call.task in _registered
    if known:
        _refuse_second(call)
    _registered[call.task] = (definition, operation)
    if known:
        return  # a module that is reloaded: its task finds the newer definition

    def run(task: Task, /, *args: Any, **_: Any) -> str:
        definition, operation = _registered[call.task]
        return run_attempt(task, definition, operation, args)

    shared_task(
        run,
        name=call.task,
        bind=True,
        typing=False,
        ignore_result=True,
        throws=(StepFailed,),
        # The record brings back what a dead worker held; late acknowledgement only doubles work.
        acks_late=False,
        # These are in the plan, and so in each message; as a task's attributes Celery deprecates
        # them.
        **{name: value for name, value in call.options.items() if name not in _OF_MESSAGES},
    )


def _refuse_second(call: Call) -> None:
    definition, operation = _registered[call.task]
    first = definition.action if operation is Operation.ACTION else definition.undo
    here, there = _place(call.function), _place(first.function if first else call.function)
    if here == there:
        return
    remedy = "Give one of them another name=."
    if "__main__." in here + there:
        remedy = (
            "The module runs as the program and is imported as well: "
            "keep the steps in a module that is only imported."
        )
    raise DefinitionError(
        f"Two functions are declared as the task {call.task!r}: {there} and {here}. {remedy}"
    )


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
