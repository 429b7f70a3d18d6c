"""Secrets in payloads: kept in the record, and shown nowhere else.

pydantic writes a ``SecretStr`` as stars. The record keeps what is behind them, marked as such:
``{"$secret": "…"}``. So whoever shows a payload can hide its secrets without knowing its type.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticUserError

__all__ = ["STARS", "masked", "may_hold_secrets", "revealed", "scrubbed", "secrets_in", "unmarked"]

STARS = "**********"

_MARK = "$secret"


def may_hold_secrets(adapter: TypeAdapter[Any]) -> bool:
    """Tell whether a type has secrets, as its JSON schema says; in doubt, yes."""
    try:
        return '"writeOnly": true' in json.dumps(adapter.json_schema())
    except (PydanticUserError, TypeError):  # it has no JSON schema
        return True


def revealed(shown: Any, plain: Any) -> Any:
    """Return *shown*, a value as JSON, with its stars replaced by marked secrets out of *plain*."""
    if isinstance(plain, SecretStr):
        return {_MARK: plain.get_secret_value()}
    if isinstance(plain, SecretBytes):
        return {_MARK: plain.get_secret_value().decode()}
    if isinstance(shown, dict) and isinstance(plain, Mapping):
        pairs = zip(shown.items(), plain.values(), strict=True)
        return {name: revealed(value, own) for (name, value), own in pairs}
    if isinstance(shown, list) and isinstance(plain, list | tuple | set | frozenset):
        return [revealed(value, own) for value, own in zip(shown, plain, strict=True)]
    return shown


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
            found.update(_walk(json.loads(text)))
    return frozenset(found - {""})


def scrubbed(text: str, secrets: frozenset[str]) -> str:
    """Return *text* with stars in place of every secret in it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, STARS)
    return text


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
