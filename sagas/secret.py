"""Secrets in payloads: kept in the record, and shown nowhere else.

pydantic dumps a ``SecretStr`` as stars. The record keeps the value itself and marks it as a secret:
``{"$secret": "…"}``. So a payload can be shown without its secrets by code that does not know its
type.
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

__all__ = ["STARS", "mark", "mask", "may_hold_secrets", "scrub", "secrets_in", "unmark"]

STARS = "**********"

SECRETS = (SecretStr, SecretBytes, Secret)

#: What a core schema contains if the type contains a ``Secret[T]``.
_SECRET_OF = Secret.__get_pydantic_core_schema__.__qualname__

_MARK = "$secret"


def may_hold_secrets(adapter: TypeAdapter[Any]) -> bool:
    """Tell from its schema whether a type may contain secrets; if in doubt, it may."""
    try:
        schema = json.dumps(adapter.json_schema())
    except (PydanticUserError, TypeError):  # it has no JSON schema
        return True
    # A Secret[T] has the JSON schema of T: it shows only in the core schema.
    return '"writeOnly": true' in schema or _SECRET_OF in repr(adapter.core_schema)


def mark(shown: Any, plain: Any, value: Any, *, declared: bool) -> Any:
    """Return *shown*, a payload dumped to JSON, with each secret in the clear and marked.

    *plain* is the payload dumped to Python. *value* is the object itself, whose own serializers may
    write a secret in the clear. *declared* tells whether its type declares secrets: only then can
    marks be told from other text when the payload is loaded.

    Raises:
        ValueError: a secret would be lost, or the payload uses the mark as a key.
    """
    found = _reveal(shown, plain)
    lost = _count(found, STARS) > _count(plain, STARS)
    if lost or (not declared and any(_marked_secrets(found))):
        raise ValueError(
            "A secret is in a place where JSON cannot carry it. Declare its field as SecretStr, "
            "and do not use a secret as a key."
        )
    return _mark_texts(found, frozenset(_secret_texts(value)) - {""})


def _reveal(shown: Any, plain: Any) -> Any:
    if isinstance(plain, SECRETS):
        return {_MARK: _plain_value(plain)}
    if isinstance(plain, Mapping) and plain.keys() == {_MARK}:
        raise ValueError(f"The key {_MARK!r} is reserved: it marks a secret.")
    if isinstance(shown, dict) and isinstance(plain, Mapping):
        if shown.keys() == plain.keys():
            return {name: _reveal(value, plain[name]) for name, value in shown.items()}
        if len(shown) == len(plain):  # JSON spells the keys differently
            pairs = zip(shown.items(), plain.values(), strict=True)
            return {name: _reveal(value, own) for (name, value), own in pairs}
    listed = isinstance(shown, list) and isinstance(plain, list | tuple | set | frozenset)
    if listed and len(shown) == len(plain):
        return [_reveal(value, own) for value, own in zip(shown, plain, strict=True)]
    return shown


def _plain_value(secret: Any) -> Any:
    return to_jsonable_python(secret.get_secret_value())


def _secret_texts(value: Any) -> Iterator[str]:
    """Yield the secrets in an object, as text."""
    if isinstance(value, SECRETS):
        yield str(_plain_value(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secret_texts(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _secret_texts(item)
    elif isinstance(value, BaseModel):
        yield from _secret_texts({**vars(value), **(value.__pydantic_extra__ or {})})
    elif is_dataclass(value):
        yield from _secret_texts([getattr(value, field.name) for field in fields(value)])


def _mark_texts(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str) and value in secrets:
        return {_MARK: value}
    if isinstance(value, dict) and not _is_marked(value):
        return {name: _mark_texts(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_mark_texts(item, secrets) for item in value]
    return value


def _count(value: Any, text: str) -> int:
    if _is_marked(value):
        return 0
    if isinstance(value, Mapping):
        return sum(_count(key, text) + _count(item, text) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(_count(item, text) for item in value)
    return int(isinstance(value, str) and value == text)


def unmark(value: Any) -> Any:
    """Return the JSON value with its secrets in the clear, as its type loads it."""
    return _replace(value, lambda secret: secret)


def mask(text: str | None) -> str | None:
    """Return a payload with stars in place of its secrets, so that it may be shown."""
    if text is None or _MARK not in text:
        return text
    return json.dumps(_replace(json.loads(text), lambda _: STARS), separators=(",", ":"))


def secrets_in(*texts: str | None) -> frozenset[str]:
    """Return the secrets in these payloads."""
    found: set[str] = set()
    for text in texts:
        if text is not None and _MARK in text:
            found.update(map(Hidden, _marked_secrets(json.loads(text))))
    return frozenset(found - {""})


def scrub(text: str, secrets: frozenset[str]) -> str:
    """Return *text* with stars in place of every secret, whether quoted, escaped or plain."""
    written = {spelling for secret in secrets for spelling in _spellings(secret)}
    for spelling in sorted(written, key=len, reverse=True):
        text = text.replace(spelling, STARS)
    return text


def _spellings(secret: str) -> tuple[str, ...]:
    in_json = (json.dumps(secret), json.dumps(secret, ensure_ascii=False))
    escaped = (repr(secret), ascii(secret), *in_json)
    return secret, quote(secret, safe=""), quote_plus(secret), *(quoted[1:-1] for quoted in escaped)


def _is_marked(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {_MARK}


def _replace(value: Any, by: Any) -> Any:
    if _is_marked(value):
        return by(value[_MARK])
    if isinstance(value, dict):
        return {name: _replace(item, by) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, by) for item in value]
    return value


def _marked_secrets(value: Any) -> Iterator[str]:
    if _is_marked(value):
        yield str(value[_MARK])
    elif isinstance(value, dict):
        for item in value.values():
            yield from _marked_secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _marked_secrets(item)
