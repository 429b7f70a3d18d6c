"""Reading a payload that its type does not accept any more: as much of it as is still readable."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    TypeAdapter,
)
from pydantic.fields import FieldInfo

__all__ = ["read_leniently"]

#: Types that are constraints on others.
_PLAIN: Mapping[Any, Any] = {
    FutureDate: date,
    PastDate: date,
    AwareDatetime: datetime,
    NaiveDatetime: datetime,
    FutureDatetime: datetime,
    PastDatetime: datetime,
}


def read_leniently(declared: Any, value: Any) -> Any:
    """Return the JSON *value* as the declared type as far as it fits.

    A value that only a constraint forbids is of its type all the same. In a model or a dataclass a
    field that does not fit is the JSON value, and a missing field has its default or is no
    attribute; no validator of the whole model runs. Everything else that does not fit stays JSON.
    """
    plain = _PLAIN.get(bare := _bare(declared), bare)
    for candidate in (declared, plain):
        try:
            text = json.dumps(value)
            return _adapter(candidate).validate_json(text, by_alias=True, by_name=True)
        except Exception:  # noqa: BLE001, S112 - validators of the application may raise anything
            continue
    return _in_parts(plain, value)


def _in_parts(declared: Any, value: Any) -> Any:
    origin, arguments = get_origin(declared), get_args(declared)
    if isinstance(value, dict):
        if isinstance(declared, type) and issubclass(declared, BaseModel):
            return _model(declared, value)
        if isinstance(declared, type) and dataclasses.is_dataclass(declared):
            return _record(declared, value)
        if isinstance(origin, type) and issubclass(origin, Mapping) and arguments:
            return {key: read_leniently(arguments[1], item) for key, item in value.items()}
    if origin in (Union, UnionType):
        # Of several alternatives nothing tells which one was meant.
        kinds = [kind for kind in arguments if kind is not NoneType]
        return read_leniently(kinds[0], value) if len(kinds) == 1 else value
    if isinstance(value, list) and origin in (list, set, frozenset, tuple):
        items = arguments[:1] * len(value) if len(arguments) != len(value) else arguments
        return [read_leniently(kind, item) for kind, item in zip(items, value, strict=True)]
    return value


def _model(cls: type[BaseModel], value: Mapping[str, Any]) -> Any:
    given = {}
    for name, field in cls.model_fields.items():
        if (key := next((key for key in _keys(name, field) if key in value), None)) is not None:
            declared: Any = field.annotation
            for constraint in field.metadata:
                declared = Annotated[declared, constraint]
            given[name] = read_leniently(declared, value[key])
    try:
        return cls.model_construct(set(given), **given)
    except Exception:  # noqa: BLE001 - its model_post_init, or a default of its own
        return value


def _keys(name: str, field: FieldInfo) -> Iterator[str]:
    yield name
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    yield from (choice for choice in choices if isinstance(choice, str))


def _record(cls: Any, value: Mapping[str, Any]) -> Any:
    hints = get_type_hints(cls, include_extras=True)
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in value:
            found = read_leniently(hints[field.name], value[field.name])
        elif field.default is not dataclasses.MISSING:
            found = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found = field.default_factory()
        else:
            continue
        object.__setattr__(made, field.name, found)
    return made


def _bare(declared: Any) -> Any:
    """Return a type without the constraints that annotate it."""
    return get_args(declared)[0] if get_origin(declared) is Annotated else declared


@cache
def _adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)
