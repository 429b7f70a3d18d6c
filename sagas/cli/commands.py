"""The commands that list, show and start sagas, and upgrade their record."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path
from typing import IO, Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

import click
from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sagas.cli import render_list
from sagas.cli.filters import filtered
from sagas.cli.render_saga import print_saga
from sagas.cli.terminal import print_json, printable
from sagas.client.saga import saga_named
from sagas.errors import ConfigurationError, SagaError, SagaNotFound
from sagas.hidden import Hidden, Sealed
from sagas.payload import describe_error
from sagas.record import migrate, queries
from sagas.record.listing import ListedSaga, listed
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.runtime.app import Runtime, runtime_of

__all__ = ["as_json", "in_words", "matching", "runtime", "saga"]

#: Upper bound for --limit.
MOST = 1_000_000

#: How many ids an ambiguous one is answered with.
FEW = 6

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def in_words(command: Callable[P, R]) -> Callable[P, R]:
    """Report errors that a person can act on in one line on stderr, with exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ValidationError as error:
            raise click.ClickException(printable(describe_error(error))) from error
        except SagaError as error:
            raise click.ClickException(printable(str(error))) from error
        except DBAPIError as error:
            raise click.ClickException(f"The record's database refused: {error.orig}") from error

    return run


def runtime(context: click.Context) -> Runtime:
    """Return the runtime of the given app, with all its tasks imported."""
    app = context.obj.app
    app.finalize()
    app.loader.import_default_modules()
    return runtime_of(app)


@click.group()
def saga() -> None:
    """Look at sagas, act on them, and upgrade their record."""


@saga.command("list")
@filtered
@click.option("--key", help="Only sagas with this business key.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MOST))
@as_json
@click.pass_context
@in_words
def list_(
    context: click.Context,
    /,
    as_json: bool,  # noqa: FBT001 - click passes it by name
    limit: int,
    **filters: Any,
) -> None:
    """List sagas, the newest first.

    On a narrow terminal, ids are shortened; every command takes them so.
    """
    found = runtime(context).database.read(
        lambda c: listed(c, queries.find_sagas(c, **filters, limit=limit))
    )
    _print_listed(found, limit=limit, as_json=as_json)


def _print_listed(found: Sequence[ListedSaga], *, limit: int, as_json: bool) -> None:
    if not as_json:
        render_list.print_list(found, limit=limit)
        return
    print_json([{**asdict(one.saga), "step": one.step} for one in found])


@saga.command()
@click.argument("id_or_key", metavar="ID-or-KEY")
@as_json
@click.pass_context
@in_words
def show(context: click.Context, id_or_key: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one saga: its input, its steps with outputs and errors, its history.

    Secrets are masked.
    """
    own = runtime(context)
    found = own.database.read(lambda c: [_detail(c, own, view) for view in matching(c, id_or_key)])
    if as_json:
        print_json([_as_json(detail) for detail in found])
    else:
        for detail in found:
            print_saga(*detail)


class _Detail(NamedTuple):
    saga: SagaView
    input: str | None
    steps: Sequence[StepView]
    history: Sequence[HistoryEntry]


def _detail(connection: Connection, own: Runtime, view: SagaView) -> _Detail:
    given = queries.input_of(connection, view.id)
    steps = [
        replace(step, output=_legible(own, step.output))
        for step in queries.steps_of(connection, view.id)
    ]
    history = queries.history_of(connection, view.id)
    return _Detail(view, _legible(own, given), steps, history)


def _legible(own: Runtime, kept: str | None) -> str | None:
    """Return a payload as JSON without secrets; without its key, a saga is shown all the same."""
    try:
        return None if kept is None else own.masked(kept)
    except ConfigurationError as error:
        return json.dumps(f"({error})")


def _as_json(detail: _Detail) -> dict[str, Any]:
    steps = [{**asdict(step), "output": _value(step.output)} for step in detail.steps]
    return {**detail._asdict(), "input": _value(detail.input), "steps": steps}


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def matching(connection: Connection, id_or_key: str) -> Sequence[SagaView]:
    """Return the saga with this id or this beginning of an id, or the sagas that have this key.

    Raises:
        SagaNotFound: there is none, or several ids begin like this.
    """
    try:
        by_id = queries.saga_by_id(connection, UUID(id_or_key))
    except ValueError:
        by_id = None
    of_key = () if by_id else queries.find_sagas(connection, key=id_or_key)
    found = [by_id] if by_id else [view for view in of_key if not view.superseded]
    return found or [_begins_with(connection, id_or_key)]


def _begins_with(connection: Connection, prefix: str) -> SagaView:
    found = queries.sagas_by_prefix(connection, prefix, limit=FEW)
    if len(found) > 1:
        ids = ", ".join(str(view.id) for view in found)
        more = ", …" if len(found) == FEW else ""
        raise SagaNotFound(
            f"Several sagas have an id that begins with {prefix!r}: {ids}{more}. "
            "Give more of the id."
        )
    if not found:
        raise SagaNotFound(f"The record has no saga with the id or the key {prefix!r}.")
    return found[0]


@saga.command()
@click.argument("name")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--key", help="The business key, if FILE holds one input.")
@click.option("--key-field", help="The field of each input that holds its business key.")
@as_json
@click.pass_context
@in_words
def start(
    context: click.Context,
    name: str,
    file: IO[str],
    key: str | None,
    key_field: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Start the saga NAME with the input in FILE.

    FILE holds a JSON object, or an array of them; - is stdin.
    """
    own = runtime(context)  # imports the app, which defines the sagas
    definition = saga_named(name)
    inputs = _inputs(file)
    if key is not None and len(inputs) != 1:
        raise click.UsageError("--key is for one saga, but the file has several. Use --key-field.")
    keys = [key if key_field is None else str(_field(text, key_field)) for text in inputs]
    handles = definition.start_many_json(list(zip(inputs, keys, strict=True)))
    views = [handle.describe() for handle in handles]
    found = own.database.read(lambda c: listed(c, views))
    _print_listed(found, limit=len(views) + 1, as_json=as_json)


def _inputs(file: IO[str]) -> list[str]:
    """Return each input as it is written: a number that is read and written again may differ."""
    try:
        text = Hidden(file.read())
        content = Sealed(json.loads(text))
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 is a ValueError too
        name = printable(Path(file.name).name)
        raise click.ClickException(f"{name} is not JSON: {error}.") from error
    if not isinstance(content.value, list):
        return [text]
    decoder, position, inputs = json.JSONDecoder(), text.index("[") + 1, []
    for _ in range(len(content.value)):
        while text[position] in ", \t\r\n":
            position += 1
        end = decoder.raw_decode(text, position)[1]
        inputs.append(Hidden(text[position:end]))
        position = end
    return list(inputs)


def _field(text: str, name: str) -> Any:
    value = Sealed(json.loads(text))
    if not isinstance(value.value, dict) or name not in value.value:
        raise click.ClickException(f"An input in the file has no field {name!r}.")
    return value.value[name]


@saga.group()
def db() -> None:
    """Create and upgrade the record's tables."""


@db.command()
@click.pass_context
@in_words
def upgrade(context: click.Context) -> None:
    """Bring the record to this version; does nothing where it is."""
    database = runtime(context).database
    migrate.upgrade(database)
    revision = database.read(migrate.current_revision)
    url = database.engine.url.render_as_string(hide_password=True)
    click.echo(f"The record in {url} is at revision {revision}.")
