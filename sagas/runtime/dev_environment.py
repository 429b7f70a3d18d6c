"""The file by which ``sagas dev`` tells other terminals where its broker and its record are.

The lock on the file lives as long as the command does, however it ends: what a killed one has left
behind is not believed.
"""

import logging
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from celery import Celery

from sagas.errors import ConfigurationError

__all__ = ["BROKER_VARIABLE", "FILE", "find", "offer_broker", "warn_of_other_broker", "written"]

logger = logging.getLogger(__name__)

#: Where the file is, in the directory in which ``sagas dev`` was started.
FILE = Path(".sagas") / "env"

#: Celery prefers this variable to the application's own setting.
BROKER_VARIABLE = "CELERY_BROKER_URL"

#: Brokers inside a process, which are never meant to be shared.
_PRIVATE = "memory:"


@contextmanager
def written(variables: Mapping[str, str]) -> Iterator[Path]:
    """Keep the variables in the file of this directory, for a shell and for ``find``.

    Raises:
        ConfigurationError: another ``sagas dev`` runs in this directory.
    """
    file = FILE.absolute()
    file.touch(mode=0o600)
    with file.open("r+") as text:
        if not _locks(text, exclusively=True):
            raise ConfigurationError(
                f"Another `sagas dev` runs in {file.parent.parent}. Stop it first, or run this one "
                "in another directory."
            )
        text.truncate()
        text.writelines(f"export {n}={shlex.quote(value)}\n" for n, value in variables.items())
        text.flush()
        yield file
        file.unlink(missing_ok=True)


def find() -> dict[str, str]:
    """Return what the ``sagas dev`` that runs in this directory has written; empty without one."""
    try:
        with FILE.open() as text:
            if _locks(text, exclusively=False):
                return {}
            words = [shlex.split(line) for line in text]
    except OSError:
        return {}
    return dict(word.split("=", 1) for _, word in words)


def _locks(text: IO[str], *, exclusively: bool) -> bool:
    import fcntl  # noqa: PLC0415 - Windows has none, and nothing that comes here

    try:
        fcntl.flock(text, (fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def offer_broker(app: Celery) -> None:
    """Let an app that names no broker use the one of the ``sagas dev`` of this directory."""

    def broker() -> dict[str, Any]:
        url = find().get(BROKER_VARIABLE)
        return {"broker_url": url} if url else {}

    app.add_defaults(broker)


def warn_of_other_broker(app: Celery) -> None:
    """Warn if the ``sagas dev`` of this directory does not see what the app publishes."""
    theirs, ours = find().get(BROKER_VARIABLE), str(app.conf.broker_url)
    if theirs and ours != theirs and not ours.startswith(_PRIVATE):
        logger.warning(
            "sagas dev runs in this directory, and %s uses another broker: the worker of sagas dev "
            "does not receive its messages. To use the same broker, run: . %s",
            app.main,
            FILE,
        )
