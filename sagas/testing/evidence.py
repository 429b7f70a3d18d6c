"""What whoever checks may add: which rules apply, and what else was seen than sagas."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict
from uuid import UUID

from sagas.record.alerts import Alert

__all__ = ["Evidence", "Terms"]


class Terms(TypedDict, total=False):
    """What applies to each saga; everything may be left out.

    Attributes:
        running: sagas may still be under way, so none must have ended (L1). Read the ledger first,
            the record afterwards: an effect is never older than its claim.
        parked: the business keys of exactly those sagas that must be parked; ``()`` for none. Left
            out, any may be (L1).
        at_least_once: the steps whose participants recognise no repeat, by neither key nor barrier:
            their effects may come twice and late (S4, S7).
        no_ledger: the steps of which the ledger knows nothing.
    """

    running: bool
    parked: Collection[str]
    at_least_once: Collection[str]
    no_ledger: Collection[str]


class Evidence(Terms, total=False):
    """What else was seen; everything may be left out.

    Attributes:
        keys: saga name -> the business keys of the rows that were committed with them (S1).
        since: what ``ended_rows`` returned earlier: nothing of it may have changed (S2).
        delivered: receiver -> the alerts that it got (S12).
        conserved: what -> how much of it there was before, and is now (S13).
        canaries: secrets that were put into payloads (S15).
        texts: where -> a text in which none of them may stand, such as a log (S15).
        queues: queue -> how many messages are in it (L2).
    """

    keys: Mapping[str, Collection[str]]
    since: Mapping[UUID, Any]
    delivered: Mapping[str, Iterable[Alert]]
    conserved: Mapping[str, tuple[Any, Any]]
    canaries: Collection[str]
    texts: Mapping[str, str]
    queues: Mapping[str, int]
