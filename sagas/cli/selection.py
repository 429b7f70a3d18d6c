"""The sagas that a command acts on: those that are named, or those that filters choose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import click

from sagas.cli.commands import matching
from sagas.client.handle import SagaHandle
from sagas.errors import SagaError, SagaNotFound
from sagas.record import queries
from sagas.record.queries import SagaView
from sagas.runtime.app import Runtime
from sagas.states import SagaStatus

__all__ = ["Outcome", "act_on", "chosen"]

#: How many sagas are read at a time.
PAGE = 100


class Outcome(NamedTuple):
    """What became of one saga: *done*, or the *error* that refused it."""

    saga: SagaView | None
    done: bool
    error: str | None = None


def chosen(
    own: Runtime,
    words: Sequence[str],
    filters: Mapping[str, Any],
    statuses: Sequence[SagaStatus],
) -> Iterator[SagaView | SagaError]:
    """Return the sagas that *words* name, or those that the filters choose, the newest first.

    Without a status among the filters only sagas in one of *statuses* are chosen: on the others the
    command cannot act. A word that names no saga, or several, gives the error.

    Raises:
        click.UsageError: there are neither words nor filters, or both.
    """
    given = {name: value for name, value in filters.items() if value}
    if bool(words) == bool(given):
        raise click.UsageError(
            "Name sagas by id or key, or choose them by filters such as --name and --code: "
            "one of the two."
        )
    if words:
        return (_the_one(own, word) for word in words)
    status = given.pop("status", None)
    return _filtered(own, given, [status] if status else statuses)


def _the_one(own: Runtime, word: str) -> SagaView | SagaError:
    try:
        found = own.database.read(lambda c: matching(c, word))
    except SagaNotFound as error:
        return error
    if len(found) > 1:
        ids = ", ".join(f"{view.id} ({view.name})" for view in found)
        return SagaError(f"Several sagas have the key {word!r}: give the id of one: {ids}.")
    return found[0]


def _filtered(
    own: Runtime, given: Mapping[str, Any], statuses: Sequence[SagaStatus]
) -> Iterator[SagaView]:
    for status in statuses:
        last: SagaView | None = None
        while page := own.database.read(
            partial(
                queries.find_sagas,
                **given,
                status=status,
                before=last.id if last else None,
                limit=PAGE,
            )
        ):
            yield from page
            last = page[-1]


def act_on(
    own: Runtime,
    found: Iterator[SagaView | SagaError],
    act: Callable[[SagaHandle], None],
    *,
    dry_run: bool,
) -> Iterator[Outcome]:
    """Act on each saga, or only say what would be acted on; a refusal does not stop the others."""
    for saga in found:
        if isinstance(saga, SagaError):
            yield Outcome(None, done=False, error=str(saga))
            continue
        if dry_run:
            yield Outcome(saga, done=False)
            continue
        handle = SagaHandle(own, saga.id)
        try:
            act(handle)
            yield Outcome(handle.describe(), done=True)
        except SagaError as error:
            yield Outcome(saga, done=False, error=str(error))
