"""One function of a step: its checks, its types, and how it runs as a Celery task."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_type_hints

from sagas.errors import DefinitionError
from sagas.hidden import Sealed
from sagas.payload import Payload
from sagas.plan import PlannedCall
from sagas.retry import YEAR_S, Retry, to_seconds

__all__ = ["NAME_LIMIT", "Call", "checked_duration", "declare_call", "is_name", "payload_of"]

#: The longest name of a saga or a step, in characters, that the record's columns can hold.
NAME_LIMIT = 200


def is_name(text: str) -> bool:
    """Tell whether a saga or a step may have this name: it must fit its column and a log line."""
    return 1 <= len(text) <= NAME_LIMIT and text.isprintable()


@dataclass(frozen=True, slots=True)
class Call:
    """One function of a step, and how it runs as a Celery task."""

    function: Callable[..., Any]
    task: str
    retry: Retry
    timeout_s: float | None
    options: Mapping[str, Any]
    input: Payload
    output: Payload
    takes_context: bool

    @property
    def planned(self) -> PlannedCall:
        """The plan's data about this call."""
        return PlannedCall(
            self.task,
            self.options.get("queue"),
            self.retry,
            self.timeout_s,
            self.options.get("priority"),
        )

    def __call__(self, given: Sealed[Any], context: Any) -> Any:
        """Call the function, with the context if it takes one."""
        more = (context,) if self.takes_context else ()
        return self.function(given.value, *more)


def declare_call(
    function: Callable[..., Any],
    task: str,
    *,
    retry: Retry,
    timeout: float | timedelta | None,
    options: Mapping[str, Any],
) -> Call:
    """Check a function and read its types; raises DefinitionError."""
    what = f"Step {task!r} ({function.__module__}.{function.__qualname__})"
    if not isinstance(retry, Retry):
        raise DefinitionError(f"{what} has retry={retry!r}: give a policy, retry=Retry(…).")
    if not is_name(task):
        raise DefinitionError(
            f"{what} has a name that cannot be stored: use 1 to {NAME_LIMIT} printable characters."
        )
    _refuse_options(what, options)
    if any(is_lazy(function) for is_lazy in _LAZY):
        raise DefinitionError(
            f"{what} does not run when it is called: it is a coroutine function or a generator. "
            "Write a plain function; it may call asyncio.run()."
        )
    parameters = _parameters(what, function)
    hints = _hints(what, function)
    return Call(
        function=function,
        task=task,
        retry=retry,
        timeout_s=checked_duration(what, "timeout", timeout),
        options=dict(options),
        input=payload_of(what, "its first parameter", hints.get(parameters[0], Any)),
        output=payload_of(what, "its return value", hints.get("return", Any)),
        takes_context=len(parameters) > 1,
    )


_REMEDIES = {
    "bind": "use the Context, the function's second parameter, instead",
    "base": "the engine's own task class is needed; wrap the function instead",
    "autoretry_for": "use retry=Retry(…) instead",
    "dont_autoretry_for": "raise StepFailed for what must not be retried",
    "max_retries": "use retry=Retry(max_attempts=…) instead",
    "default_retry_delay": "use retry=Retry(wait_initial=…) instead",
    "retry_backoff": "use retry=Retry(wait_exp_base=…) instead",
    "retry_jitter": "use retry=Retry(wait_jitter=…) instead",
    "exchange": "use queue=… instead",
    "routing_key": "use queue=… instead",
    "acks_late": "leave it out: the record recovers what a lost worker held",
    "reject_on_worker_lost": "leave it out: the record recovers what a lost worker held",
    "ignore_result": "leave it out: the record has the results",
    "throws": "leave it out: StepFailed and RetryAfter are expected errors already",
    "pydantic": "leave it out: inputs and outputs are validated by their annotations",
    "typing": "leave it out: the engine makes the messages",
    "time_limit": "use timeout=… instead",
    "soft_time_limit": "use timeout=… instead",
    "expires": "use the saga's deadline=… instead",
    "serializer": "leave it out: messages are JSON and carry only ids",
    "compression": "leave it out: messages carry only ids",
    "store_errors_even_if_ignored": "leave it out: the record has the errors",
    "acks_on_failure_or_timeout": "leave it out: messages are acknowledged early",
}


def _refuse_options(what: str, options: Mapping[str, Any]) -> None:
    for name, remedy in _REMEDIES.items():
        if name in options:
            raise DefinitionError(
                f"{what} is given {name}=, which a saga step cannot have: {remedy}."
            )


_LAZY = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


def _parameters(what: str, function: Callable[..., Any]) -> list[str]:
    kind = inspect.Parameter
    parameters = inspect.signature(function).parameters.values()
    positional = [
        p for p in parameters if p.kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD)
    ]
    required = {
        p.name
        for p in parameters
        if p.default is kind.empty and p.kind not in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD)
    }
    given = [p.name for p in positional[:2]]
    if not given or required - set(given):
        raise DefinitionError(
            f"{what} takes ({', '.join(p.name for p in parameters)}), but is called with the "
            "saga's input and, if it has a second parameter, the Context. "
            "Declare it as f(input) or f(input, ctx)."
        )
    return given


def _hints(what: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{what} has an annotation that cannot be resolved ({error}). "
            "Import or define that type at module level, not under TYPE_CHECKING."
        ) from error


def payload_of(what: str, where: str, annotation: Any) -> Payload:
    """Return the payload of a declared type; raises DefinitionError if JSON cannot carry it."""
    try:
        return Payload(annotation)
    except Exception as error:
        raise DefinitionError(
            f"{what} declares {where} as {annotation!r}, which pydantic cannot carry as JSON "
            f"({type(error).__name__}). Use a pydantic model, a dataclass, or JSON values."
        ) from error


def checked_duration(what: str, name: str, value: float | timedelta | None) -> float | None:
    """Return a duration in seconds.

    Raises:
        DefinitionError: it is not above 0, or is more than a year; *what* has it as *name*.
    """
    if value is None:
        return None
    # Not "<= 0 or > YEAR_S", so that NaN is refused as well.
    is_number = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    if not is_number or not 0 < to_seconds(value) <= YEAR_S:
        raise DefinitionError(
            f"{what} has {name}={value!r}: give seconds or a timedelta, above 0 and a year at "
            "most, or None."
        )
    return to_seconds(value)
