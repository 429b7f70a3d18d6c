"""Payloads on their way into the record and out of it: measured, and encrypted at rest."""

from collections.abc import Callable
from typing import Any, Protocol

from celery.utils.imports import symbol_by_name

from sagas.errors import ConfigurationError, PayloadTooLarge
from sagas.runtime.settings import Settings

__all__ = ["Codec", "Vault"]


class Codec(Protocol):
    """What ``saga_codec`` is: it turns JSON into what is kept in the record, and back.

    It must read what it ever wrote, so a key is rotated by a codec that knows the older ones too.
    """

    def encode(self, text: str, /) -> str:
        """Return what is kept in place of the JSON *text*."""

    def decode(self, text: str, /) -> str:
        """Return the JSON for what was kept."""


class _Plain:
    def encode(self, text: str, /) -> str:
        return text

    def decode(self, text: str, /) -> str:
        return text


class Vault:
    """The one way of inputs and outputs into SQL and back."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.saga_payload_limit_bytes
        self._codec = _codec(settings.saga_codec)

    def keep(self, text: str, what: str) -> str:
        """Return what the record keeps for a payload.

        Raises:
            PayloadTooLarge: it is over ``saga_payload_limit_bytes``.
            ConfigurationError: ``saga_codec`` failed.
        """
        size = len(text.encode())
        if size > self._limit:
            raise PayloadTooLarge(
                f"{what} is {size:,} bytes of JSON, over the limit of {self._limit:,} "
                "(saga_payload_limit_bytes). Keep large data in a store of its own, and its "
                "address in the payload."
            )
        return _checked(self._codec.encode, text, f"encode {what[0].lower()}{what[1:]}")

    def read(self, kept: str) -> str:
        """Return the payload for what the record keeps; raises ConfigurationError."""
        return _checked(self._codec.decode, kept, "decode a payload of the record")


def _checked(code: Callable[[str], str], text: str, what: str) -> str:
    try:
        coded = code(text)
    except Exception as error:
        raise ConfigurationError(
            f"saga_codec could not {what} ({type(error).__name__}). It must read whatever it ever "
            "wrote: does it still know the keys of that time?"
        ) from error
    if not isinstance(coded, str):
        raise ConfigurationError(
            f"saga_codec could not {what}: it gave {type(coded).__name__}, and must give str."
        )
    return coded


def _codec(given: Any) -> Codec:
    if given is None:
        return _Plain()
    try:
        codec: Codec = symbol_by_name(given) if isinstance(given, str) else given
    except (AttributeError, ImportError, ValueError) as error:
        raise ConfigurationError(
            f'saga_codec = {given!r} cannot be imported ({error}). Give "package.module:name".'
        ) from error
    if not all(callable(getattr(codec, name, None)) for name in ("encode", "decode")):
        raise ConfigurationError(
            f"saga_codec = {given!r} is no codec: it needs encode(text) and decode(text)."
        )
    return codec
