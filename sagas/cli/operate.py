"""Acting on sagas: cancel, retry, skip, resolve."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from sagas.cli.commands import as_json, in_words, runtime, saga
from sagas.cli.filters import FILTERS, filtered
from sagas.cli.selection import Outcome, act_on, chosen
from sagas.cli.terminal import counted, print_json, printable
from sagas.client.handle import SagaHandle, user_name
from sagas.states import SagaStatus

__all__ = ["cancel", "resolve", "retry", "skip"]

F = TypeVar("F", bound=Callable[..., Any])

_RUNNING = (SagaStatus.STARTED, SagaStatus.IN_PROGRESS)
_PARKED = (SagaStatus.FAILED,)

named = click.argument("ids_or_keys", metavar="[ID-or-KEY]...", nargs=-1)
by = click.option("--by", default=user_name, show_default="your user name", help="Who does this.")
note = click.option("--note", required=True, help="Why; the history keeps it.")
dry_run = click.option(
    "--dry-run", is_flag=True, help="Only say which sagas this would act on; change nothing."
)


def acting(command: F) -> F:
    """Add what all commands have that act: filters, --dry-run, --by and --json."""
    for option in reversed((filtered, dry_run, by, as_json)):
        command = option(command)
    return command


@saga.command()
@named
@click.option("--reason", required=True, help="Why; compensations see it, the history keeps it.")
@acting
@click.pass_context
@in_words
def cancel(context: click.Context, /, reason: str, by: str, **options: Any) -> None:
    """Turn sagas back, so that they compensate what they did.

    Refused once the pivot has begun. Filters choose among sagas that are STARTED or IN_PROGRESS.
    """
    _act(context, options, partial(SagaHandle.cancel, reason=reason, by=by), _RUNNING)


@saga.command()
@named
@click.option("--note", help="Why; the history keeps it.")
@acting
@click.pass_context
@in_words
def retry(context: click.Context, /, note: str | None, by: str, **options: Any) -> None:
    """Try the failed steps of parked sagas again.

    Each step gets as many attempts as at first. Filters choose among parked sagas.
    """
    _act(context, options, partial(SagaHandle.retry, note=note, by=by), _PARKED)


@saga.command()
@named
@click.argument("step")
@note
@acting
@click.pass_context
@in_words
def skip(context: click.Context, /, step: str, note: str, by: str, **options: Any) -> None:
    """Go on after a failed STEP that you took care of by hand.

    The sagas must be parked. The step then counts as settled. Filters choose among parked sagas.
    """
    _act(context, options, partial(SagaHandle.skip, step=step, note=note, by=by), _PARKED)


@saga.command()
@named
@note
@click.option(
    "--as",
    "ended",
    type=click.Choice(["COMPLETED", "COMPENSATED"], case_sensitive=False),
    help="How they ended; by default the way each was going.",
)
@acting
@click.pass_context
@in_words
def resolve(
    context: click.Context, /, ended: str | None, note: str, by: str, **options: Any
) -> None:
    """End parked sagas: you did or undid by hand what was left.

    Filters choose among parked sagas.
    """
    status = None if ended is None else SagaStatus(ended)
    _act(context, options, partial(SagaHandle.resolve, status=status, note=note, by=by), _PARKED)


def _act(
    context: click.Context,
    options: Mapping[str, Any],
    act: Callable[[SagaHandle], None],
    statuses: Sequence[SagaStatus],
) -> None:
    """Act on each saga; the exit code is 1 if one was refused."""
    own = runtime(context)
    filters = {name: options[name] for name in FILTERS}
    found = chosen(own, options["ids_or_keys"], filters, statuses)
    outcomes = act_on(own, found, act, dry_run=options["dry_run"])
    tell = _tell_json if options["as_json"] else _tell
    if tell(outcomes, dry_run=options["dry_run"]):
        context.exit(1)


def _tell_json(outcomes: Iterable[Outcome], *, dry_run: bool) -> int:
    """Print what became of each saga as JSON; return how many were refused."""
    del dry_run  # each outcome says that it is not done
    told = [_as_json(outcome) for outcome in outcomes]
    print_json(told)
    return sum(1 for outcome in told if outcome["error"])


def _as_json(outcome: Outcome) -> dict[str, Any]:
    names = ("id", "name", "key", "status")
    columns = {name: getattr(outcome.saga, name, None) for name in names}
    return {**columns, "done": outcome.done, "error": outcome.error}


def _tell(outcomes: Iterable[Outcome], *, dry_run: bool) -> int:
    """Print a line for each saga; return how many were refused."""
    refused = told = 0
    for outcome in outcomes:
        if outcome.error is not None:
            refused += 1
            click.echo(f"Error: {printable(outcome.error)}", err=True)
        elif outcome.saga is not None:
            told += 1
            view = outcome.saga
            click.echo(f"{view.name} {view.key} ({view.id}): {view.status}")
    if dry_run:
        click.echo(f"A dry run: this would act on {counted(told, 'saga')}. Nothing has changed.")
    elif not told and not refused:
        click.echo("No sagas match.")
    return refused
