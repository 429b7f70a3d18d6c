"""Payloads between Python and JSON: pydantic validates whatever crosses the border."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sagas.secret import STARS, mark, may_hold_secrets, scrub, unmark

__all__ = ["Payload", "describe_error", "text_of"]

_MESSAGE_LIMIT = 2_000


class Payload:
    """The declared type of an input or an output, and its conversion to JSON and back.

    ``Decimal``, ``datetime`` and ``UUID`` become text without any loss. Secrets are marked.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    @cached_property
    def _has_secrets(self) -> bool:
        return may_hold_secrets(self._adapter)

    def dump(self, value: Any) -> str:
        """Validate *value* and convert it to JSON.

        Raises:
            pydantic.ValidationError: it is not of the declared type.
            ValueError: it contains a number that JSON lacks, NaN or an infinity, or a secret in a
                place where it would be lost.
        """
        valid = self._adapter.validate_python(value)
        text = self._adapter.dump_json(valid, warnings="none").decode()
        if self._has_secrets or STARS in text:
            plain = self._adapter.dump_python(valid, warnings="none")
            found = mark(json.loads(text), plain, valid, declared=self._has_secrets)
            text = json.dumps(found, separators=(",", ":"))
        # An instance that was changed after it was made passes the first check, but not this one.
        self.load(text)
        if any(sign in text for sign in ("null", "NaN", "Infinity")):  # pydantic's spellings
            plain = self._adapter.dump_python(valid, warnings="none")
            json.dumps(plain, allow_nan=False, default=str, skipkeys=True)
        return text

    def same(self, one: str, other: str) -> bool:
        """Tell whether two texts from :meth:`dump` mean the same value."""
        if one == other or json.loads(one) == json.loads(other):
            return True
        try:
            return bool(self.load(one) == self.load(other))
        except ValidationError:  # another version of the type wrote one of them
            return False

    def load(self, text: str) -> Any:
        """Parse and validate a text from :meth:`dump`; raises pydantic.ValidationError."""
        if self._has_secrets:
            text = json.dumps(unmark(json.loads(text)))
        # People write aliases; pydantic writes names, unless the model says otherwise.
        return self._adapter.validate_json(text, by_alias=True, by_name=True)


def describe_error(error: BaseException, secrets: frozenset[str] = frozenset()) -> str:
    """Return the error's message for the record, truncated, without payload values or *secrets*."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        parts = (f"{'.'.join(map(str, p['loc'])) or 'value'}: {_message(p)}" for p in problems)
        text = f"{error.title} is not valid: {'; '.join(parts)}"
    else:
        text = text_of(error) or type(error).__name__
    # Scrub before truncating: half a secret would not be found.
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
