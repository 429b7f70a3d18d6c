"""Where a run takes place: the addresses that its driver and its workers share."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["VISIBILITY_TIMEOUT_S", "Place", "Variant"]

#: Celery's default is an hour. This short time favours the chains: what a killed worker had not
#: acknowledged comes back before the verdict, so "stuck" means lost for good.
VISIBILITY_TIMEOUT_S = 10


class Variant(StrEnum):
    """A way to write three steps that must all happen or not at all."""

    CHAIN = "chain"
    CHAIN_LATE = "chain-acks-late"
    SAGA = "saga"
    SAGA_BARE = "saga-no-barrier"

    @property
    def is_saga(self) -> bool:
        """Whether the engine runs it, so that its record knows how each one ended."""
        return self in (Variant.SAGA, Variant.SAGA_BARE)


@dataclass(frozen=True, slots=True)
class Place:
    """What runs, and at which addresses."""

    variant: str
    broker_url: str
    record_url: str
    participant_url: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which a worker finds this place."""
        return {f"KILLS_{name.upper()}": value for name, value in asdict(self).items()}

    @classmethod
    def from_environment(cls) -> "Place":
        """Read the place in a worker."""
        return cls(**{name: os.environ[f"KILLS_{name.upper()}"] for name in cls.__slots__})
