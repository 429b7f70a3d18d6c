"""The console script: the same commands, with the app named by ``-A``."""

import importlib.metadata
import os
import sys
from types import SimpleNamespace

import click
from celery.app.utils import find_app

from sagas.cli.commands import saga
from sagas.runtime import dev_environment

__all__ = ["main"]


@click.group(commands=saga.commands, help=saga.help)
@click.option("-A", "--app", "app_name", metavar="APP", help="The Celery app, as for celery -A.")
@click.version_option(importlib.metadata.version("celery-sagas"), prog_name="celery-sagas")
@click.pass_context
def main(context: click.Context, app_name: str | None) -> None:
    """Find the app, as the celery command does."""
    name = app_name or os.environ.get("CELERY_APP")
    if not name:
        raise click.UsageError("Name the Celery app: sagas -A yourapp …")
    if context.invoked_subcommand != "dev":
        _join_dev()
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as Celery does: the text, not a path object
    try:
        context.obj = SimpleNamespace(app=find_app(name), app_name=name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(
            f"The Celery app {name!r} cannot be imported ({error}). "
            "Run the command where its module can be found."
        ) from error


def _join_dev() -> None:
    """Use the broker and the record of the ``sagas dev`` that runs in this directory, if any."""
    found = dev_environment.find()
    if new := {name: value for name, value in found.items() if name not in os.environ}:
        os.environ.update(new)
        click.echo("Using the broker and the record of the sagas dev that runs here.", err=True)
