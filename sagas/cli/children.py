"""Child processes whose output is shown under their name, and that end with this one."""

import os
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress

import click

from sagas.dev import start_guarded

__all__ = ["Child"]

#: How long a child may take to end; after that it is killed with all its children.
PATIENCE_S = 5.0


class Child:
    """A process that can be stopped and started again."""

    def __init__(self, name: str, *command: str, env: Mapping[str, str], colour: str) -> None:
        self._prefix = click.style(f"{name:8}│ ", fg=colour)
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its lines are shown until it ends."""
        read_end, write_end = os.pipe()
        try:
            self._process = start_guarded(self._command, log=write_end, env=self._env)
        finally:
            os.close(write_end)
        threading.Thread(target=self._show, args=(read_end,), daemon=True).start()

    def _show(self, read_end: int) -> None:
        with open(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                click.echo(self._prefix + line.rstrip("\n"))

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End it, gently for a few seconds, and whatever it has left behind."""
        if self._process is None:
            return
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_S)
        self._process.communicate(b"stop\n")  # to its guard
        self._process = None
