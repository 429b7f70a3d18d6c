"""Whether a payload that was read back is what was written, and where it is not."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python
from typing_extensions import TypeAliasType

__all__ = ["first_difference"]


def first_difference(given: Any, again: Any, declared: Any) -> str | None:
    """Return where *again* differs from *given*, without their values; None where they are alike.

    Fields are compared one by one, since a class may define ``__eq__`` as it likes. Where the
    *declared* type leaves the type open, as ``Any`` does, a value may come back as its JSON.
    """
    return next(_differences(given, again, (), is_open=_is_open(declared)), None)


def _differences(given: Any, again: Any, path: tuple[str, ...], *, is_open: bool) -> Iterator[str]:
    if isinstance(given, BaseModel) or _is_record(given):
        yield from _of_fields(given, again, path, is_open=is_open)
    elif isinstance(given, Mapping) and isinstance(again, Mapping):
        yield from _of_mapping(given, again, path, is_open=is_open)
    elif isinstance(given, list | tuple) and isinstance(again, list | tuple):
        if len(given) != len(again):
            yield _at(path, f"{len(given)} items come back as {len(again)}")
        for number, (one, other) in enumerate(zip(given, again, strict=False)):
            yield from _differences(one, other, (*path, str(number)), is_open=is_open)
    elif not _same(given, again, path, is_open=is_open):
        yield _at(path, _changed(given, again))


def _of_fields(given: Any, again: Any, path: tuple[str, ...], *, is_open: bool) -> Iterator[str]:
    if _kind(given) is not _kind(again):
        if not (is_open and _as_json(given) == _as_json(again)):
            yield _at(path, _changed(given, again))
        return
    cls: Any = type(given)
    for name, declared in _fields(cls).items():
        one, other = (getattr(value, name, _MISSING) for value in (given, again))
        yield from _differences(one, other, (*path, name), is_open=_is_open(declared))
    extra = getattr(given, "__pydantic_extra__", None) or {}
    extra_again = getattr(again, "__pydantic_extra__", None) or {}
    yield from _of_mapping(extra, extra_again, path, is_open=True)


def _of_mapping(
    given: Mapping[Any, Any], again: Mapping[Any, Any], path: tuple[str, ...], *, is_open: bool
) -> Iterator[str]:
    if given.keys() != again.keys():
        if not (is_open and _as_json(given) == _as_json(again)):
            yield _at(path, "its keys come back changed")
        return
    for key, value in given.items():
        yield from _differences(value, again[key], (*path, str(key)), is_open=is_open)


def _same(given: Any, again: Any, path: tuple[str, ...], *, is_open: bool) -> bool:
    try:
        equal = bool(given == again) or bool(given != given and again != again)  # noqa: PLR0124 - NaN
    except Exception:  # noqa: BLE001 - a class of the application that cannot be compared
        equal = type(given) is type(again)
    if equal:
        return is_open or isinstance(given, Enum) is isinstance(again, Enum)
    if type(given) is type(again) and not _compares(type(given)):
        one, other = (getattr(value, "__dict__", {}) for value in (given, again))
        return not any(_differences(one, other, path, is_open=is_open))
    # What an iterator gave is gone, and its JSON says nothing.
    return is_open and not isinstance(given, Iterator) and _as_json(given) == _as_json(again)


def _at(path: tuple[str, ...], what: str) -> str:
    return f"{'.'.join(path) or 'value'}: {what}"


def _changed(given: Any, again: Any) -> str:
    one, other = type(given).__name__, type(again).__name__
    return "it comes back changed" if one == other else f"a {one} comes back as a {other}"


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _kind(value: Any) -> type:
    generic = getattr(type(value), "__pydantic_generic_metadata__", None) or {}
    return generic.get("origin") or type(value)


def _compares(cls: Any) -> bool:
    """Tell whether a class says what it is equal to."""
    return cls.__eq__ is not object.__eq__


def _as_json(value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        return _MISSING


_MISSING = object()


@cache
def _fields(cls: Any) -> Mapping[str, Any]:
    """Return the fields of a model or a dataclass, with their declared types."""
    if issubclass(cls, BaseModel):
        return {name: field.annotation for name, field in cls.model_fields.items()}
    hints = _hints(cls)
    return {field.name: hints.get(field.name) for field in dataclasses.fields(cls)}


def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except (NameError, TypeError):
        return {}


_BUILT_IN = (list, tuple, set, frozenset, Mapping, Iterable)


def _is_open(declared: Any) -> bool:
    """Tell whether a type leaves open what its values, or those inside it, are."""
    if isinstance(declared, TypeAliasType):
        return _is_open(declared.__value__)
    if declared is Any or declared is object or isinstance(declared, TypeVar):
        return True
    if is_typeddict(declared) or hasattr(declared, "_fields"):
        return any(map(_is_open, _hints(declared).values()))
    arguments = get_args(declared)
    if get_origin(declared) is Annotated:
        return _is_open(arguments[0])
    if arguments:
        return any(map(_is_open, arguments))
    return isinstance(declared, type) and _holds_anything(declared)


def _holds_anything(cls: type) -> bool:
    return issubclass(cls, _BUILT_IN) and not issubclass(cls, str | bytes | BaseModel | Enum)
