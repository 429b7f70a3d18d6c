"""The options of a check: which rules apply, and what else there is to check."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict
from uuid import UUID

from sagas.record.alerts import Alert

__all__ = ["Options", "SagaOptions"]


class SagaOptions(TypedDict, total=False):
    """Options that apply to each saga; all are optional.

    Attributes:
        running: sagas may still be under way, so L1 is not checked. Read the ledger before the
            record: an effect is never older than its claim.
        parked: the business keys of exactly those sagas that must be parked, ``()`` for none. By
            default, any saga may be parked (L1).
        at_least_once: the steps whose participants recognise a repeat neither by a key nor by the
            barrier: their effects may come twice and late (S4, S7).
        no_ledger: the steps that have no lines in the ledger.
    """

    running: bool
    parked: Collection[str]
    at_least_once: Collection[str]
    no_ledger: Collection[str]


class Options(SagaOptions, total=False):
    """Options for the whole record; all are optional.

    Attributes:
        keys: saga name -> the business keys of the rows that were committed with its sagas (S1).
        since: the result of an earlier ``ended_rows``: none of these sagas may have changed (S2).
        delivered: receiver -> the alerts that it received (S12).
        conserved: quantity -> its value before and after (S13).
        canaries: secrets that were put into payloads (S15).
        texts: source -> a text that must contain no canary, such as a log (S15).
        queues: queue -> the number of messages in it (L2).
    """

    keys: Mapping[str, Collection[str]]
    since: Mapping[UUID, Any]
    delivered: Mapping[str, Iterable[Alert]]
    conserved: Mapping[str, tuple[Any, Any]]
    canaries: Collection[str]
    texts: Mapping[str, str]
    queues: Mapping[str, int]
