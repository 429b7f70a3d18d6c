"""Calls of the command line, alike on every version of click."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from click import Command
from click.testing import CliRunner, Result

__all__ = ["call"]

#: Until 8.2, click mixes the two streams unless it is told not to.
_APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)


def call(
    command: Command,
    *words: str,
    input: Any = None,
    env: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    obj: Any = None,
) -> Result:
    """Run a command in this process, with its stdout and its stderr apart."""
    runner = CliRunner(charset=encoding, **_APART)
    return runner.invoke(command, words, input=input, env=env, obj=obj)
