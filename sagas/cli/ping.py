"""``sagas ping``: whether a worker of this host does its duties, for supervisors and probes."""

import socket
from collections.abc import Mapping

import click
from sqlalchemy.exc import DBAPIError

from sagas.cli.commands import in_words, runtime
from sagas.errors import SagaError
from sagas.record import liveness
from sagas.runtime.app import Runtime

__all__ = ["ping"]

#: Nothing is known about the worker, and to restart it would not help.
AWAY = 3


class _Away(click.ClickException):
    exit_code = AWAY


class _Silent(SagaError):
    """No worker of those asked for has given a sign of life within the lease."""


@click.command()
@click.option("--any", "anywhere", is_flag=True, help="A worker of any host will do.")
@click.option("--worker", metavar="NAME@HOST", help="This worker, by its node name.")
@click.pass_context
@in_words
def ping(context: click.Context, anywhere: bool, worker: str | None) -> None:  # noqa: FBT001
    """Check that a worker of this host lives, and its servers answer.

    Exit code 0: so it is. 1: the worker gives no sign of life. 3: the database or the broker does
    not answer, so that a restart of the worker would not help.
    """
    own = runtime(context)
    silences = _silences(own)
    _ask_broker(own)
    lease_s = own.settings.saga_lease_s
    asked_for = [name for name in silences if anywhere or _is_meant(name, worker)]
    fresh = {name: silences[name] for name in asked_for if silences[name] <= lease_s}
    if not fresh:
        whose = worker or ("any host" if anywhere else f"this host ({socket.gethostname()})")
        last = _in_words({name: silences[name] for name in asked_for}) or "none is known"
        raise _Silent(f"No worker of {whose} is alive: {last}; the lease is {lease_s:g} s.")
    click.echo(f"{_in_words(fresh)}. The database and the broker answer.")


def _is_meant(name: str, worker: str | None) -> bool:
    return name == worker if worker else name.rpartition("@")[2] == socket.gethostname()


def _in_words(silences: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {silence:.1f} s ago" for name, silence in sorted(silences.items()))


def _silences(own: Runtime) -> Mapping[str, float]:
    try:
        return own.database.read(liveness.silences)
    except DBAPIError as error:
        raise _Away(f"The record's database does not answer: {error.orig}") from error


def _ask_broker(own: Runtime) -> None:
    try:
        with own.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as error:  # transports have no common error
        raise _Away(f"The broker does not answer: {error}") from error
