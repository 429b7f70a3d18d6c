"""Options that choose sagas by what the record says of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sagas.cli.age import age
from sagas.states import SagaStatus

__all__ = ["FILTERS", "filtered"]

F = TypeVar("F", bound=Callable[..., Any])

#: The parameters that ``filtered`` adds, as ``find_sagas`` takes them.
FILTERS = ("status", "name", "code", "blocked", "older_than_s", "younger_than_s")

_OPTIONS = (
    click.option(
        "--status",
        # Of strings: before 8.2, click does not show the members of an enum as their values.
        type=click.Choice([*map(str, SagaStatus)], case_sensitive=False),
        help="Only sagas with this status.",
    ),
    click.option("--name", help="Only sagas of this name."),
    click.option(
        "--code",
        metavar="CODE",
        help="Only sagas that turned back with this error code, or have a step with it.",
    ),
    click.option(
        "--blocked",
        is_flag=True,
        help="Only sagas that need a deploy or a repair, such as a worker with their task.",
    ),
    click.option(
        "--older-than",
        "older_than_s",
        type=age,
        help="Only sagas started longer ago than this: 90s, 30m, 2h, 7d.",
    ),
    click.option(
        "--younger-than",
        "younger_than_s",
        type=age,
        help="Only sagas started within this time.",
    ),
)


def filtered(command: F) -> F:
    """Add the options that choose sagas to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
