"""``manage.py saga …``: the command line, for the project's Celery app."""

import os
import sys
from argparse import REMAINDER, ArgumentParser
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError

from sagas.cli import saga
from sagas.errors import SagaError
from sagas.runtime.app import runtime_of

__all__ = ["Command"]


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Passes its arguments to the command line, as ``sagas -A app`` does."""

    help = (
        "Looks at sagas, acts on them, and upgrades their record: the commands of `sagas`. "
        "`manage.py saga list --help` describes one, `manage.py saga` alone lists them."
    )
    # An operator must be able to look even where a check of the project fails.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Leave everything to the command line."""
        parser.add_argument("args", nargs=REMAINDER, metavar="COMMAND …")

    def handle(self, *args: str, **options: Any) -> None:
        """Run the command line; raises CommandError, with the exit code, where it does."""
        try:
            app = runtime_of().app
        except SagaError as error:
            raise CommandError(str(error)) from error
        found = SimpleNamespace(app=app, app_name=os.environ.get("CELERY_APP") or app.main)
        with redirect_stdout(options.get("stdout") or sys.stdout):
            try:
                code = saga.main(
                    args or ("--help",),
                    prog_name="manage.py saga",
                    obj=found,
                    standalone_mode=False,
                )
            except click.ClickException as error:
                raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if code:
            sys.exit(code)
