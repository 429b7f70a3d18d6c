"""What the function of ``ctx.once`` returned, on its way into the barrier and out of it."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from sagas.errors import BarrierError
from sagas.hidden import Hidden, Sealed
from sagas.payload import Payload, describe_error, type_name

__all__ = ["OnceResult"]

_JSON = Payload(Any)


class OnceResult:
    """The result's type: the one given, the function's annotation, or what the step returns."""

    def __init__(
        self, step: str, of_step: Payload, function: Callable[[], Any], returns: Any
    ) -> None:
        self._step = step
        self._own = _declared(function) if returns is None else Payload(returns)
        self._of_step = of_step

    def dump(self, result: Sealed[Any]) -> str:
        """Return what the barrier keeps.

        Raises:
            BarrierError: the result is not of its type, or has none and is not plain JSON.
        """
        declared = self._own or self._of_step
        if declared.is_none and (self._own is not None or not _is_plain(result.value)):
            return Hidden("null")  # what the effect gave back, such as a cursor, interests nobody
        try:
            return declared.dump(result.value)
        except ValueError as error:
            problem = describe_error(error)
        if self._own is None and _is_plain(result.value):
            return _JSON.dump(result.value)
        returned = type(result.value).__name__
        raise BarrierError(
            f"Step {self._step} called ctx.once() with a function that returned a {returned}, "
            f"which cannot be stored as {type_name(declared.annotation)} ({problem}). Return plain "
            f"JSON, annotate the function's return type, or pass it: ctx.once(…, returns=…)."
        )

    def load(self, kept: str) -> Any:
        """Return the result again; raises BarrierError where its type no longer reads it."""
        declared = self._own or self._of_step
        try:
            return declared.load(kept)
        except ValidationError as error:
            problem = describe_error(error)
        if self._own is None:
            return _JSON.load(kept)
        raise BarrierError(
            f"Step {self._step} called ctx.once(), whose stored result is no longer a "
            f"{type_name(declared.annotation)} ({problem}). Let the type read what it wrote before."
        )


def _declared(function: Callable[[], Any]) -> Payload | None:
    """Return the type that a function is annotated with, None where it says nothing of use."""
    while isinstance(function, partial):
        function = function.func
    try:
        annotation = get_type_hints(function, include_extras=True).get("return", Any)
        return None if annotation in (Any, object) else Payload(annotation)
    except (NameError, TypeError, PydanticUserError):
        return None


def _is_plain(value: Any) -> bool:
    """Tell whether a value is JSON as Python has it."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)
