"""Steps and inputs that the tests of declarations use."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from sagas import DefinitionError, step
from sagas.definition import StepDefinition

__all__ = ["Trip", "book", "made", "refused"]


class Trip(BaseModel):
    place: str = "Rome"
    nights: int = 1


def book(trip: Trip) -> str:
    return trip.place


def made(name: str = "defined.made", **options: Any) -> StepDefinition[[Trip], str]:
    """Declare a step."""
    return step(name=name, **options)(book)


def refused(declare: Callable[[], object]) -> str:
    """Return the message with which a declaration is refused."""
    with pytest.raises(DefinitionError) as raised:
        declare()
    return str(raised.value)
