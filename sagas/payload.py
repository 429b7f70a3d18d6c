"""Payloads between Python and JSON, by pydantic: what crosses a border is validated there."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sagas.secret import STARS, marked, may_hold_secrets, scrubbed, unmarked

__all__ = ["Payload", "describe_error", "text_of"]

_MESSAGE_LIMIT = 2_000


class Payload:
    """One declared type of an input or an output, and its way to JSON and back.

    ``Decimal``, ``datetime`` and ``UUID`` travel as text and lose nothing. Secrets are marked.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    @cached_property
    def _has_secrets(self) -> bool:
        return may_hold_secrets(self._adapter)

    def dump(self, value: Any) -> str:
        """Validate *value* and write it.

        Raises:
            pydantic.ValidationError: it is not of the declared type.
            ValueError: it holds a number that JSON does not have, NaN or an infinity, or a secret
                where it would be lost.
        """
        valid = self._adapter.validate_python(value)
        text = self._adapter.dump_json(valid, warnings="none").decode()
        if self._has_secrets or STARS in text:
            plain = self._adapter.dump_python(valid, warnings="none")
            found = marked(json.loads(text), plain, valid, declared=self._has_secrets)
            text = json.dumps(found, separators=(",", ":"))
        # An instance that was changed after its making passes the first check, but not this one.
        self.load(text)
        if any(sign in text for sign in ("null", "NaN", "Infinity")):  # as pydantic writes them
            plain = self._adapter.dump_python(valid, warnings="none")
            json.dumps(plain, allow_nan=False, default=str, skipkeys=True)
        return text

    def same(self, one: str, other: str) -> bool:
        """Tell whether two texts that :meth:`dump` wrote mean the same value."""
        if one == other or json.loads(one) == json.loads(other):
            return True
        try:
            return bool(self.load(one) == self.load(other))
        except ValidationError:  # one was written by another version of the type
            return False

    def load(self, text: str) -> Any:
        """Read and validate what :meth:`dump` wrote; raises pydantic.ValidationError."""
        if self._has_secrets:
            text = json.dumps(unmarked(json.loads(text)))
        # By alias as people write it, by name as pydantic does unless the model says otherwise.
        return self._adapter.validate_json(text, by_alias=True, by_name=True)


def describe_error(error: BaseException, secrets: frozenset[str] = frozenset()) -> str:
    """Return the error's message for the record: bounded, without payloads' values or *secrets*."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        parts = (f"{'.'.join(map(str, p['loc'])) or 'value'}: {_message(p)}" for p in problems)
        text = f"{error.title} is not valid: {'; '.join(parts)}"
    else:
        text = text_of(error) or type(error).__name__
    # Before it is cut: half a secret would not be found.
    return scrubbed(text, secrets)[:_MESSAGE_LIMIT]


def text_of(value: object) -> str:
    """Return the text of an error or of its code, which a participant may have written badly."""
    try:
        return str(value)
    except BaseException as error:  # noqa: BLE001 - it may raise anything
        return f"(its text cannot be read: __str__ raised {type(error).__name__})"


def _message(problem: Mapping[str, Any]) -> str:
    # Of pydantic's own messages this one quotes the value.
    if problem["type"] == "union_tag_invalid":
        return "Input tag is none of the expected tags"
    return str(problem["msg"])
