"""Acting on sagas: cancel, retry, skip, resolve."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from sagas.cli.commands import in_words, matching, runtime, saga
from sagas.cli.terminal import printable
from sagas.client.handle import SagaHandle, user_name
from sagas.errors import SagaError
from sagas.states import SagaStatus

__all__ = ["cancel", "resolve", "retry", "skip"]

sagas = click.argument("ids_or_keys", metavar="ID-or-KEY...", nargs=-1, required=True)
by = click.option("--by", default=user_name, show_default="your user name", help="Who does this.")
note = click.option("--note", required=True, help="Why; the history keeps it.")


@saga.command()
@sagas
@click.option("--reason", required=True, help="Why; compensations see it, the history keeps it.")
@by
@click.pass_context
@in_words
def cancel(context: click.Context, /, ids_or_keys: Sequence[str], **words: Any) -> None:
    """Turn sagas back, so that they compensate what they did.

    Refused once the pivot has begun.
    """
    _act(context, ids_or_keys, partial(SagaHandle.cancel, **words))


@saga.command()
@sagas
@click.option("--note", help="Why; the history keeps it.")
@by
@click.pass_context
@in_words
def retry(context: click.Context, /, ids_or_keys: Sequence[str], **words: Any) -> None:
    """Try the failed steps of parked sagas again.

    Each step gets as many attempts as at first.
    """
    _act(context, ids_or_keys, partial(SagaHandle.retry, **words))


@saga.command()
@click.argument("id_or_key", metavar="ID-or-KEY")
@click.argument("step")
@note
@by
@click.pass_context
@in_words
def skip(context: click.Context, /, id_or_key: str, step: str, **words: Any) -> None:
    """Go on after a failed STEP that you took care of by hand.

    The saga must be parked. The step then counts as settled.
    """
    _act(context, [id_or_key], partial(SagaHandle.skip, step=step, **words))


@saga.command()
@sagas
@note
@click.option(
    "--as",
    "status",
    type=click.Choice(["COMPLETED", "COMPENSATED"], case_sensitive=False),
    help="How they ended; by default the way each was going.",
)
@by
@click.pass_context
@in_words
def resolve(
    context: click.Context, /, ids_or_keys: Sequence[str], status: str | None, **words: Any
) -> None:
    """End parked sagas: you did or undid by hand what was left."""
    ended = None if status is None else SagaStatus(status)
    _act(context, ids_or_keys, partial(SagaHandle.resolve, status=ended, **words))


def _act(
    context: click.Context, ids_or_keys: Sequence[str], act: Callable[[SagaHandle], None]
) -> None:
    """Act on each saga; the exit code is 1 if one was refused."""
    refused = 0
    for id_or_key in ids_or_keys:
        try:
            handle = _the_one(context, id_or_key)
            act(handle)
        except SagaError as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
            refused += 1
        else:
            view = handle.describe()
            click.echo(f"{view.name} {view.key} ({view.id}): {view.status}")
    if refused:
        context.exit(1)


def _the_one(context: click.Context, id_or_key: str) -> SagaHandle:
    own = runtime(context)
    found = own.database.read(lambda c: matching(c, id_or_key))
    if len(found) > 1:
        ids = ", ".join(f"{view.id} ({view.name})" for view in found)
        raise SagaError(f"Several sagas have the key {id_or_key!r}: give the id of one: {ids}.")
    return SagaHandle(own, found[0].id)
