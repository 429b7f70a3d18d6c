"""Where a contender runs and what its steps do, handed to its processes by the environment.

Only the standard library is imported: peers run in environments of their own.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from functools import cache
from typing import TypedDict

__all__ = ["FIRST", "LAST", "STEPS", "Order", "Place", "here"]

_VARIABLE = "BENCH_PLACE"

#: The numbers of a saga's steps.
STEPS = range(4)
FIRST, LAST = STEPS[0], STEPS[-1]


class Order(TypedDict):
    """What a saga is started with."""

    number: int
    note: str


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, the files and the variant of one measurement.

    Attributes:
        redis_url: the broker of those that need one; its database is emptied.
        record_url: an empty database, as a SQLAlchemy URL.
        ends: the named pipe to which the end of each saga is written.
        calls: the socket on which the client takes calls.
        step_s: how long a step waits, in seconds.
        payload_bytes: the length of an order's note.
        refuses: the last step refuses, so that the others are undone.
    """

    redis_url: str
    record_url: str
    ends: str
    calls: str
    step_s: float = 0.0
    payload_bytes: int = 0
    refuses: bool = False

    @property
    def conninfo(self) -> str:
        """The record's URL as libpq takes it."""
        return self.record_url.replace("+psycopg", "")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a contender's processes."""
        return {**os.environ, _VARIABLE: json.dumps(asdict(self))}

    def order(self, number: int) -> Order:
        """Return the input of a saga; its note is one that no database can compress."""
        note = secrets.token_urlsafe(self.payload_bytes)[: self.payload_bytes]
        return {"number": number, "note": note}


@cache
def here() -> Place:
    """Return the place of this process."""
    return Place(**json.loads(os.environ[_VARIABLE]))
