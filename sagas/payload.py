"""Payloads between Python and JSON: pydantic validates whatever crosses the border."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import NoneType, TracebackType
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from sagas.alike import first_difference
from sagas.hidden import Hidden, Sealed
from sagas.lenient import read_leniently
from sagas.secret import STARS, mark, may_hold_secrets, scrub, unmark

__all__ = ["NotReadAlike", "Payload", "describe_error", "text_of", "type_name"]

_MESSAGE_LIMIT = 2_000

G = TypeVar("G")
R = TypeVar("R")


class NotReadAlike(ValueError):
    """A value that its type writes and does not read back as it was; names the type and field."""


class Payload:
    """The declared type of an input or an output, and its conversion to JSON and back.

    ``Decimal``, ``datetime`` and ``UUID`` travel as text and lose nothing. Secrets are marked.
    An error leaves without the frames that held the payload.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    @property
    def is_none(self) -> bool:
        """Whether its only value is None."""
        return self.annotation in (None, NoneType)

    @property
    def accepts_true(self) -> bool:
        """Whether it declares a bool, so that True is one of its values."""
        return self.annotation is bool or bool in get_args(self.annotation)

    @cached_property
    def _has_secrets(self) -> bool:
        return may_hold_secrets(self._adapter)

    @cached_property
    def field_names(self) -> frozenset[str]:
        """The names and aliases of all fields that the type declares, at any depth."""
        try:
            schemas = [self._adapter.json_schema(by_alias=by_alias) for by_alias in (True, False)]
        except (PydanticUserError, TypeError):  # it has no JSON schema
            return frozenset()
        return frozenset(_properties(schemas))

    def dump(self, value: Any) -> Hidden:
        """Validate *value*, write it, and check that it is read back as it was.

        Raises:
            pydantic.ValidationError: it is not of the declared type.
            NotReadAlike: its type does not read it back, or reads something else.
            ValueError: it holds a number that JSON does not have, NaN or an infinity, or a secret
                where it would be lost.
        """
        sealed = Sealed(value)
        del value  # a frame shows its arguments too
        return _without_frames(self._dump, sealed)

    def _dump(self, sealed: Sealed[Any]) -> Hidden:
        valid = self._adapter.validate_python(sealed.value)
        text = self._adapter.dump_json(valid, **_AS_WRITTEN).decode()
        if self._has_secrets or STARS in text:
            plain = self._adapter.dump_python(valid, **_AS_WRITTEN)
            found = mark(json.loads(text), plain, valid, declared=self._has_secrets)
            text = json.dumps(found, separators=(",", ":"))
        if any(sign in text for sign in ("null", "NaN", "Infinity")):  # as pydantic writes them
            plain = self._adapter.dump_python(valid, **_AS_WRITTEN)
            json.dumps(plain, allow_nan=False, default=str, skipkeys=True)
        if (why := self._why_not_alike(valid, text)) is not None:
            raise NotReadAlike(f"{type_name(self.annotation)} {why}")
        return Hidden(text)

    def _why_not_alike(self, valid: Any, text: str) -> str | None:
        try:
            again = self._load(text)
        except ValidationError as error:
            # An instance that was changed after its making passes the first check, but not this.
            return f"cannot be read back as it is written: {describe_error(error)}"
        difference = first_difference(valid, again, self.annotation)
        return None if difference is None else f"is read back as something else: {difference}"

    def same(self, one: str, other: str) -> bool:
        """Tell whether two texts that :meth:`dump` wrote mean the same value."""
        one, other = Hidden(one), Hidden(other)
        if one == other or json.loads(one) == json.loads(other):
            return True
        try:
            return first_difference(self.load(one), self.load(other), self.annotation) is None
        except ValidationError:  # one was written by another version of the type
            return False

    def load(self, text: str) -> Any:
        """Read and validate what :meth:`dump` wrote; raises pydantic.ValidationError."""
        text = Hidden(text)
        return _without_frames(self._load, text)

    def load_or_salvage(self, text: str) -> tuple[Any, str | None]:
        """Read what :meth:`dump` wrote, as far as the type still accepts it, and say what is wrong.

        ``sagas.lenient`` says what comes of the rest.
        """
        text = Hidden(text)
        try:
            return _without_frames(self._load, text), None
        except _UNREADABLE as error:
            problem = describe_error(error)
        return _without_frames(self._salvage, text), problem

    def _salvage(self, text: str) -> Any:
        return read_leniently(self.annotation, unmark(json.loads(text)))

    def _load(self, text: str) -> Any:
        if self._has_secrets:
            text = json.dumps(unmark(json.loads(text)))
        # People write aliases; pydantic writes names, unless the model says otherwise.
        return self._adapter.validate_json(text, by_alias=True, by_name=True)


#: By name, whatever a model's configuration says, and without what a model computes: both are so
#: read back. What is ``Json`` stays text.
_AS_WRITTEN: dict[str, Any] = {"by_alias": False, "round_trip": True, "warnings": "none"}


#: What validators of an application raise too; pydantic makes a ValidationError of some only.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


def _properties(schema: Any) -> Iterator[str]:
    """Return the names of all properties in a JSON schema."""
    if isinstance(schema, list):
        for item in schema:
            yield from _properties(item)
    elif isinstance(schema, dict):
        declared = schema.get("properties")
        if isinstance(declared, dict):
            yield from declared
        for item in schema.values():
            yield from _properties(item)


def type_name(annotation: Any) -> str:
    """Return a type's name for an error message."""
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation)


#: Modules whose frames hold payloads.
_PAYLOAD_MODULES = ("sagas.alike", "sagas.lenient", "sagas.payload", "sagas.secret", "pydantic")


def _without_frames(convert: Callable[[G], R], given: G) -> R:
    """Convert a payload; an error leaves without the frames that had it in a local variable."""
    try:
        return convert(given)
    except Exception as error:
        error.__traceback__ = _outside(error.__traceback__, keep_first=True)  # which is this one
        chained = error.__cause__ or error.__context__
        while chained is not None:
            chained.__traceback__ = _outside(chained.__traceback__)
            chained = chained.__cause__ or chained.__context__
        raise


def _outside(found: TracebackType | None, *, keep_first: bool = False) -> TracebackType | None:
    """Return a traceback without the frames of the modules that convert payloads."""
    kept = []
    while found is not None:
        module = str(found.tb_frame.f_globals.get("__name__", ""))
        if keep_first or not module.startswith(_PAYLOAD_MODULES):
            kept.append(found)
        found, keep_first = found.tb_next, False
    rest = None
    for entry in reversed(kept):
        rest = TracebackType(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return rest


def describe_error(error: BaseException, secrets: frozenset[str] = frozenset()) -> str:
    """Return the error's message for the record, truncated, without payload values or *secrets*."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        parts = (f"{'.'.join(map(str, p['loc'])) or 'value'}: {_message(p)}" for p in problems)
        text = f"{error.title} is not valid: {'; '.join(parts)}"
    else:
        text = text_of(error) or type(error).__name__
    # Before it is cut: half a secret would not be found.
    return scrub(text, secrets)[:_MESSAGE_LIMIT]


def text_of(value: object) -> str:
    """Return the text of an error or of its code, which a participant may have written badly."""
    try:
        return str(value)
    except BaseException as error:  # noqa: BLE001 - it may raise anything
        return f"(its text cannot be read: __str__ raised {type(error).__name__})"


def _message(problem: Mapping[str, Any]) -> str:
    # The only message of pydantic's own that quotes the value.
    if problem["type"] == "union_tag_invalid":
        return "Input tag does not match any of the expected tags"
    return str(problem["msg"])
