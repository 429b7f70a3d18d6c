"""Secrets in payloads: kept in the record, and shown nowhere else.

pydantic writes a ``SecretStr`` as stars. The record keeps what is behind them, marked as such:
``{"$secret": "…"}``. So whoever shows a payload can hide its secrets without knowing its type.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from sagas.hidden import Hidden

__all__ = ["STARS", "marked", "masked", "may_hold_secrets", "scrubbed", "secrets_in", "unmarked"]

STARS = "**********"

SECRETS = (SecretStr, SecretBytes, Secret)

#: How a schema shows that a ``Secret[T]`` is in it.
_SECRET_OF = Secret.__get_pydantic_core_schema__.__qualname__

_MARK = "$secret"


def may_hold_secrets(adapter: TypeAdapter[Any]) -> bool:
    """Tell whether a type has secrets, as its schema says; in doubt, yes."""
    try:
        schema = json.dumps(adapter.json_schema())
    except (PydanticUserError, TypeError):  # it has no JSON schema
        return True
    # A Secret[T] has the JSON schema of its T, and shows in the other one only.
    return '"writeOnly": true' in schema or _SECRET_OF in repr(adapter.core_schema)


def marked(shown: Any, plain: Any, value: Any, *, declared: bool) -> Any:
    """Return *shown*, a payload as JSON, with each secret in the clear, and marked.

    *plain* is the payload as Python has it, *value* the object itself, whose own serializers may
    write a secret in the clear. *declared*: whether its type says that it has secrets, which are
    else not told from other text when it is read.

    Raises:
        ValueError: a secret would be lost, or a key of the payload is the mark.
    """
    found = _revealed(shown, plain)
    lost = _count(found, STARS) > _count(plain, STARS)
    if lost or (not declared and any(_walk(found))):
        raise ValueError(
            "A secret stands where it cannot be carried as JSON. Declare its field as SecretStr, "
            "and use no secret as a key."
        )
    return _replaced_texts(found, frozenset(_texts_of(value)) - {""})


def _revealed(shown: Any, plain: Any) -> Any:
    if isinstance(plain, SECRETS):
        return {_MARK: _in_the_clear(plain)}
    if isinstance(plain, Mapping) and plain.keys() == {_MARK}:
        raise ValueError(f"The key {_MARK!r} is reserved: it marks a secret.")
    if isinstance(shown, dict) and isinstance(plain, Mapping):
        if shown.keys() == plain.keys():
            return {name: _revealed(value, plain[name]) for name, value in shown.items()}
        if len(shown) == len(plain):  # keys that JSON writes in another way
            pairs = zip(shown.items(), plain.values(), strict=True)
            return {name: _revealed(value, own) for (name, value), own in pairs}
    listed = isinstance(shown, list) and isinstance(plain, list | tuple | set | frozenset)
    if listed and len(shown) == len(plain):
        return [_revealed(value, own) for value, own in zip(shown, plain, strict=True)]
    return shown


def _in_the_clear(secret: Any) -> Any:
    return to_jsonable_python(secret.get_secret_value())


def _texts_of(value: Any) -> Iterator[str]:
    """Yield the secrets that an object holds, as text."""
    if isinstance(value, SECRETS):
        yield str(_in_the_clear(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_of(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts_of(item)
    elif isinstance(value, BaseModel):
        yield from _texts_of({**vars(value), **(value.__pydantic_extra__ or {})})
    elif is_dataclass(value):
        yield from _texts_of([getattr(value, field.name) for field in fields(value)])


def _replaced_texts(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str) and value in secrets:
        return {_MARK: value}
    if isinstance(value, dict) and not _is_secret(value):
        return {name: _replaced_texts(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced_texts(item, secrets) for item in value]
    return value


def _count(value: Any, text: str) -> int:
    if _is_secret(value):
        return 0
    if isinstance(value, Mapping):
        return sum(_count(key, text) + _count(item, text) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(_count(item, text) for item in value)
    return int(isinstance(value, str) and value == text)


def unmarked(value: Any) -> Any:
    """Return the JSON value with its secrets in the clear, as the type reads them."""
    return _replaced(value, lambda secret: secret)


def masked(text: str | None) -> str | None:
    """Return a payload with stars in place of its secrets: what may be shown."""
    if text is None or _MARK not in text:
        return text
    return json.dumps(_replaced(json.loads(text), lambda _: STARS), separators=(",", ":"))


def secrets_in(*texts: str | None) -> frozenset[str]:
    """Return the secrets of some payloads."""
    found: set[str] = set()
    for text in texts:
        if text is not None and _MARK in text:
            found.update(map(Hidden, _walk(json.loads(text))))
    return frozenset(found - {""})


def scrubbed(text: str, secrets: frozenset[str]) -> str:
    """Return *text* with stars in place of every secret in it, also where it is quoted."""
    written = {form for secret in secrets for form in _forms(secret)}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, STARS)
    return text


def _forms(secret: str) -> tuple[str, ...]:
    in_json = (json.dumps(secret), json.dumps(secret, ensure_ascii=False))
    escaped = (repr(secret), ascii(secret), *in_json)
    return secret, quote(secret, safe=""), quote_plus(secret), *(form[1:-1] for form in escaped)


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {_MARK}


def _replaced(value: Any, by: Any) -> Any:
    if _is_secret(value):
        return by(value[_MARK])
    if isinstance(value, dict):
        return {name: _replaced(item, by) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, by) for item in value]
    return value


def _walk(value: Any) -> Iterator[str]:
    if _is_secret(value):
        yield str(value[_MARK])
    elif isinstance(value, dict):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)
