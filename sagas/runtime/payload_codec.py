"""Payloads on their way into the record and out of it: limited in size, encrypted at rest."""

from collections.abc import Callable
from typing import Any, Protocol

from celery.utils.imports import symbol_by_name

from sagas.errors import ConfigurationError, PayloadTooLarge
from sagas.hidden import Hidden, Sealed
from sagas.runtime.settings import Settings

__all__ = ["Codec", "PayloadCodec"]


class Codec(Protocol):
    """The interface of ``saga_codec``: turns JSON into what the record keeps, and back.

    It must decode everything that it ever encoded: to rotate a key, it keeps the older ones.
    """

    def encode(self, text: str, /) -> str:
        """Return what the record keeps in place of the JSON *text*."""

    def decode(self, text: str, /) -> str:
        """Return the JSON that was encoded."""


class _Plain:
    def encode(self, text: str, /) -> str:
        return text

    def decode(self, text: str, /) -> str:
        return text


class PayloadCodec:
    """Encodes every input and output for the record, and decodes it."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.saga_payload_limit_bytes
        self._codec = _codec(settings.saga_codec)

    def encode(self, text: str, what: str) -> Hidden:
        """Return what the record keeps for a payload; *what* describes it in errors.

        Raises:
            PayloadTooLarge: it is over ``saga_payload_limit_bytes``.
            ConfigurationError: ``saga_codec`` failed.
        """
        text = Hidden(text)
        size = len(text.encode())
        if size > self._limit:
            raise PayloadTooLarge(
                f"{what} is {size:,} bytes of JSON, over the limit of {self._limit:,} "
                "(saga_payload_limit_bytes). Keep large data in another store, and put its "
                "address into the payload."
            )
        return _checked(self._codec.encode, text, f"encode {what[0].lower()}{what[1:]}")

    def decode(self, kept: str) -> Hidden:
        """Return the payload; raises ConfigurationError where ``saga_codec`` fails."""
        return _checked(self._codec.decode, kept, "decode a payload of the record")


def _checked(code: Callable[[str], str], text: str, what: str) -> Hidden:
    text = Hidden(text)
    try:
        coded = Sealed(code(text))
    except Exception as error:
        raise ConfigurationError(
            f"saga_codec could not {what} ({type(error).__name__}). It must decode everything "
            "that it ever encoded: does it still have the older keys?"
        ) from error
    if not isinstance(coded.value, str):
        raise ConfigurationError(
            f"saga_codec could not {what}: it returned {type(coded.value).__name__} instead of str."
        )
    return Hidden(coded.value)


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
            f"saga_codec = {given!r} is not a codec: it needs encode(text) and decode(text)."
        )
    return codec
