"""Whether a step can read what its saga is given: two declared types, compared by their JSON."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

__all__ = ["may_read"]

#: What JSON Schema calls an integer is a number too.
_ALSO = {"integer": frozenset({"integer", "number"})}


def may_read(wanted: Any, *, written_as: Any) -> bool:
    """Tell whether JSON written as one type may be valid for another; in doubt, yes.

    Two classes with declared fields fit if one is a subclass of the other. Otherwise the kinds of
    JSON that their schemas name must overlap: an object never fits a number.
    """
    if _has_fields(wanted) and _has_fields(written_as):
        return issubclass(written_as, wanted)
    written, readable = _kinds(written_as, "serialization"), _kinds(wanted, "validation")
    if written is None or readable is None:
        return True
    return any(_ALSO.get(kind, {kind}) & readable for kind in written)


def _has_fields(annotation: Any) -> bool:
    return isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    )


def _kinds(annotation: Any, mode: Any) -> frozenset[str] | None:
    """Return the kinds of JSON that a type can be, None where its schema leaves that open."""
    try:
        schema = TypeAdapter(annotation).json_schema(mode=mode)
    except PydanticUserError:  # it has no JSON schema, or is not complete yet
        return None
    kinds = list(_kinds_in(schema, schema.get("$defs", {})))
    return None if None in kinds else frozenset(kind for kind in kinds if kind is not None)


def _kinds_in(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str | None]:
    if "$ref" in schema:
        yield from _kinds_in(known.get(schema["$ref"].rpartition("/")[2], {}), known)
    elif "type" in schema:
        kinds = schema["type"]
        yield from [kinds] if isinstance(kinds, str) else kinds
    elif variants := schema.get("anyOf") or schema.get("oneOf"):
        for variant in variants:
            yield from _kinds_in(variant, known)
    else:
        yield None
