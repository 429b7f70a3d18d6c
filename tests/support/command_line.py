"""The command line as a test calls it, and the result of a call."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from click.testing import Result

from sagas.cli import main
from tests.support.click_runner import call

__all__ = ["APP", "Run", "error_of", "json_of", "on_terminal", "output_of", "run"]

APP = "tests.support.cli_app"

Run = Callable[..., Result]


def run(
    *words: str,
    app: str | None = APP,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> Result:
    named = ["-A", app] if app else []
    return call(main, *named, *words, input=input, env=env, encoding=encoding or "utf-8")


def on_terminal(run: Run, width: int, *words: str, encoding: str | None = None) -> str:
    """Return what a terminal of that width shows, without colours."""
    env = {"FORCE_COLOR": "1", "COLUMNS": str(width), "LINES": "50", "TERM": "xterm"}
    shown = run(*words, env=env, encoding=encoding)
    assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.stdout)


def output_of(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return str(result.stdout)


def json_of(result: Result) -> Any:
    return json.loads(output_of(result))


def error_of(result: Result, exit_code: int = 1) -> str:
    assert result.exit_code == exit_code, (result.stdout, result.stderr, result.exception)
    assert isinstance(result.exception, SystemExit)  # and no traceback
    assert result.stdout == ""
    return str(result.stderr)
