"""``sagas ping``: whether a worker of this host is alive, for supervisors and health checks."""

import socket
from collections.abc import Mapping

import click
from sqlalchemy.exc import DBAPIError

from sagas.cli.commands import in_words, runtime
from sagas.errors import SagaError
from sagas.record import workers
from sagas.runtime.app import Runtime

__all__ = ["ping"]

#: The exit code where nothing is known about the worker: a restart would not help.
AWAY = 3


class _Away(click.ClickException):
    exit_code = AWAY


class _Silent(SagaError):
    """None of the workers in question has sent a heartbeat within the lease."""


@click.command()
@click.option("--any", "anywhere", is_flag=True, help="Accept a worker on any host.")
@click.option("--worker", metavar="NAME@HOST", help="Check the worker with this node name.")
@click.pass_context
@in_words
def ping(context: click.Context, anywhere: bool, worker: str | None) -> None:  # noqa: FBT001
    """Check that a worker of this host is alive and that its servers answer.

    Exit code 0: all is well. 1: no worker is alive. 3: the database or the broker does not answer,
    so that restarting the worker would not help.
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
        return own.database.read(workers.silences)
    except DBAPIError as error:
        raise _Away(f"The record's database does not answer: {error.orig}") from error


def _ask_broker(own: Runtime) -> None:
    try:
        with own.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as error:  # transports have no common error
        raise _Away(f"The broker does not answer: {error}") from error
