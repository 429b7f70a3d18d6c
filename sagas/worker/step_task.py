"""``@step``: declares a step and registers its functions as Celery tasks."""

import difflib
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

import celery
from celery import Task, shared_task
from celery.utils.imports import gen_task_name

from sagas.definition import Call, StepDefinition, declare_call
from sagas.errors import DefinitionError, RetryAfter, StepFailed
from sagas.payload import Payload
from sagas.retry import Retry
from sagas.runtime.no_results import no_results
from sagas.states import Operation
from sagas.worker.attempt import run_attempt

__all__ = ["has_probe", "input_of", "output_of", "step"]

P = ParamSpec("P")
R = TypeVar("R")

#: Options that the plan keeps, and each message carries.
_OF_MESSAGES = ("queue", "priority")

#: Options of Celery's Task that make sense for a step; ``definition.call`` refuses the others.
_OF_TASKS = ("rate_limit", "resultrepr_maxsize", "send_events", "track_started", "trail")

#: Options of the engine, which a misspelt one may have meant.
_OF_STEPS = {
    Operation.ACTION: ("name", "retry", "timeout", "read_only"),
    Operation.COMPENSATION: ("name", "retry", "timeout"),
}

#: The definition and the operation that each task runs, by the task's name.
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
    ``Context``. Its return value is the step's output: a pydantic model, a dataclass or a JSON
    value, as annotated.

    * If it returns, the outcome is SUCCESS.
    * If it raises ``StepFailed``, the outcome is FAILED: certainly no effect. The saga turns back
      without a retry.
    * If it raises ``RetryAfter``, it had no effect either, and is run again after the wait that it
      names. That counts as no attempt.
    * If it raises anything else, the outcome is UNKNOWN. It is tried again by *retry* with the same
      idempotency key; after the last attempt the saga turns back and undoes this step too.

    Args:
        function: the function, where ``@step`` has no parentheses.
        name: the name of the task and of the step; by default Celery's name for the task.
        retry: how often and when an attempt is repeated.
        timeout: how long one attempt may take, in seconds or as a timedelta; after that its outcome
            is UNKNOWN. Not every pool can enforce it; a worker whose pool cannot says so.
        read_only: it leaves nothing to undo.
        options: further options of a Celery task: ``queue``, ``rate_limit``, ``priority``, …

    Raises:
        DefinitionError: the declaration cannot work; the message names the step and the remedy.
    """

    def declare(function: Callable[P, R]) -> StepDefinition[P, R]:
        if not inspect.isfunction(function):
            raise DefinitionError(
                f"@step decorates {function!r}, which is not a function. "
                "Write @step or @step(name=…) above a def."
            )
        task = name or gen_task_name(celery.current_app, function.__name__, function.__module__)
        action = declare_call(function, task, retry=retry, timeout=timeout, options=options)
        return StepDefinition(function, action, _register, read_only=read_only)

    return declare if function is None else declare(function)


def has_probe(task: str) -> bool:
    """Tell whether this process declares a probe for the step whose action is this task."""
    return task in _registered and _registered[task][0].probe_call is not None


def input_of(task: str) -> Payload | None:
    """Return what the function of this task takes; None where this process declares none."""
    if task not in _registered:
        return None
    definition, operation = _registered[task]
    call = definition.action if operation is Operation.ACTION else definition.compensation_call
    return call.input if call else None


def output_of(task: str) -> Payload | None:
    """Return what the action of this task returns; None where this process declares none."""
    return _registered[task][0].action.output if task in _registered else None


def _register(definition: StepDefinition[Any, Any], operation: Operation, call: Call) -> None:
    _refuse_misspelt(operation, call)
    known = call.task in _registered
    if known:
        _refuse_second(call)
    _registered[call.task] = (definition, operation)
    if known:
        return  # a reloaded module: its task finds the newer definition

    def run(task: Task, /, *args: Any, **_: Any) -> str:
        definition, operation = _registered[call.task]
        return run_attempt(task, definition, operation, args)

    shared_task(
        run,
        name=call.task,
        bind=True,
        typing=False,
        ignore_result=True,
        backend=no_results,
        saga_queue=call.options.get("queue"),
        throws=(StepFailed, RetryAfter),
        # The record recovers what a dead worker held; late acknowledgement would only double work.
        acks_late=False,
        # For the worker, which warns where its pool does not enforce it.
        saga_timeout_s=call.timeout_s,
        # The plan has the others, and so has each message; Celery deprecates them as attributes.
        **{name: value for name, value in call.options.items() if name not in _OF_MESSAGES},
    )


def _refuse_misspelt(operation: Operation, call: Call) -> None:
    known = (*_OF_STEPS[operation], *_OF_MESSAGES, *_OF_TASKS)
    for name in call.options:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            remedy = f"Did you mean {nearest[0]}=?" if nearest else f"It has {', '.join(known)}."
            raise DefinitionError(
                f"Step {call.task!r} is given {name}=, an option that no step has. {remedy}"
            )


def _refuse_second(call: Call) -> None:
    definition, operation = _registered[call.task]
    first = definition.action if operation is Operation.ACTION else definition.compensation_call
    here, there = _place(call.function), _place(first.function if first else call.function)
    if here == there:
        return
    remedy = "Give one of them another name=."
    if "__main__." in here + there:
        remedy = (
            "The module runs as the main program and is imported as well: "
            "keep the steps in a module that is only imported."
        )
    raise DefinitionError(
        f"Two functions are declared as the task {call.task!r}: {there} and {here}. {remedy}"
    )


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
