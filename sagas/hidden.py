"""Payloads that do not show: the ``repr`` of a local variable holds nothing of what is in it.

Error trackers send the ``repr`` of every local variable of every frame of an exception. So what the
engine carries through its frames is wrapped in one of these two.
"""

from typing import Generic, TypeVar

__all__ = ["Hidden", "Sealed"]

T = TypeVar("T")


class Hidden(str):
    """The text of a payload: a str in everything but its ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<payload of {len(self)} characters>"


class Sealed(Generic[T]):
    """A payload as Python has it, under ``value``."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<payload>"
