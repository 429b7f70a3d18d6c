"""The commands that list, show and start sagas, and upgrade their record."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import IO, Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

import click
from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sagas.cli import render
from sagas.cli.age import age
from sagas.client.saga import saga_named
from sagas.errors import SagaError, SagaNotFound
from sagas.hidden import Hidden, Sealed
from sagas.payload import describe_error
from sagas.record import migrate, queries
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import SagaStatus

__all__ = ["as_json", "in_words", "matching", "runtime", "saga"]

#: Upper bound for --limit.
MOST = 1_000_000

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
            raise click.ClickException(render.printable(describe_error(error))) from error
        except SagaError as error:
            raise click.ClickException(render.printable(str(error))) from error
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


# Of strings: before 8.2, click does not show the members of an enum as their values.
_STATUS = click.Choice([*map(str, SagaStatus)], case_sensitive=False)


@saga.command("list")
@click.option("--status", type=_STATUS)
@click.option("--name", help="Only sagas of this name.")
@click.option("--key", help="Only sagas with this business key.")
@click.option(
    "--blocked",
    is_flag=True,
    help="Only sagas that need a deploy or a repair, such as a worker with their task.",
)
@click.option(
    "--older-than", type=age, help="Only sagas started longer ago than this: 90s, 30m, 2h, 7d."
)
@click.option("--younger-than", type=age, help="Only sagas started within this time.")
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
    """List sagas, the newest first."""
    found = runtime(context).database.read(
        lambda c: queries.find_sagas(c, **_by_age(filters), limit=limit)
    )
    if as_json:
        render.print_json(found)
    else:
        render.print_list(found, limit=limit)


def _by_age(filters: Mapping[str, Any]) -> dict[str, Any]:
    ages = ("older_than", "younger_than")
    return {f"{name}_s" if name in ages else name: value for name, value in filters.items()}


@saga.command()
@click.argument("id_or_key", metavar="ID-or-KEY")
@as_json
@click.pass_context
@in_words
def show(context: click.Context, id_or_key: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one saga with its steps, its errors and its history."""
    own = runtime(context)
    found = own.database.read(lambda c: [_detail(c, own, view) for view in matching(c, id_or_key)])
    if as_json:
        render.print_json([detail._asdict() for detail in found])
    else:
        for detail in found:
            render.print_saga(*detail)


class _Detail(NamedTuple):
    saga: SagaView
    steps: Sequence[StepView]
    history: Sequence[HistoryEntry]


def _detail(connection: Connection, own: Runtime, view: SagaView) -> _Detail:
    steps = own.shown(queries.steps_of(connection, view.id))
    return _Detail(view, steps, queries.history_of(connection, view.id))


def matching(connection: Connection, id_or_key: str) -> Sequence[SagaView]:
    """Return the saga with this id, or the sagas with this key; raises SagaNotFound."""
    try:
        by_id = queries.saga_by_id(connection, UUID(id_or_key))
    except ValueError:
        by_id = None
    found = [by_id] if by_id else queries.find_sagas(connection, key=id_or_key)
    if not found:
        raise SagaNotFound(f"The record has no saga with the id or the key {id_or_key!r}.")
    return found


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
    runtime(context)  # imports the app, which defines the sagas
    definition = saga_named(name)
    inputs = _inputs(file)
    if key is not None and len(inputs) != 1:
        raise click.UsageError("--key is for one saga, but the file has several. Use --key-field.")
    keys = [key if key_field is None else str(_field(text, key_field)) for text in inputs]
    handles = definition.start_many_json(list(zip(inputs, keys, strict=True)))
    views = [handle.describe() for handle in handles]
    if as_json:
        render.print_json(views)
    else:
        render.print_list(views, limit=len(views) + 1)


def _inputs(file: IO[str]) -> list[str]:
    """Return each input as it is written: a number that is read and written again may differ."""
    try:
        text = Hidden(file.read())
        content = Sealed(json.loads(text))
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 is a ValueError too
        name = render.printable(Path(file.name).name)
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
