"""Runs pytest on trees, each in a fork of a process that has imported what does not change.

This saves at least half the time of a trial, most of which would go into importing Celery and
SQLAlchemy.
"""

import importlib
import math
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

__all__ = ["HANG_S", "Trial", "longest", "prepare", "tried"]

#: Tests that run for this many seconds without a mutant hang.
HANG_S = 300.0

#: Modules that every trial may import and no mutant changes.
_UNCHANGED = (
    "alembic.command",
    "celery.app.amqp",
    "celery.app.task",
    "kombu.transport.memory",
    "psycopg",
    "pydantic",
    "redis",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
)

_PYTEST = ("-q", "-x", "--tb=line", "--color=no", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Trial:
    """Tests that run on a tree; *caught_by* is the one that failed, if any did.

    *limit_s* is for hangs: whatever runs for longer is ended, and caught.
    """

    name: str
    tree: Path
    tests: tuple[str, ...]
    limit_s: float
    caught_by: str | None = None
    took_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def output(self) -> Path:
        """Where pytest's output goes."""
        return self.tree / f"pytest-{abs(hash(self.tests))}.txt"


def longest(took_s: float) -> float:
    """Return for how long tests may run with a mutant, in seconds, if they take *took_s* without.

    A mutant that makes its tests hang is caught so.
    """
    return 30 + 10 * took_s


def prepare() -> None:
    """Import what does not change, and set the environment of every trial."""
    for name in _UNCHANGED:
        importlib.import_module(name)
    for name in [name for name in os.environ if name.startswith("SAGAS_")]:
        del os.environ[name]  # the tests bring their own servers, so none runs twice
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def tried(trials: Iterable[Trial], *, compile_it: bool = False) -> Iterator[Trial]:
    """Run trials, one on each core, and yield each when it is over.

    *compile_it*: keep the compiled modules.

    Raises:
        RuntimeError: pytest could not run the tests.
    """
    left, running = iter(trials), dict[int, tuple[Trial, float]]()
    while True:
        for trial in islice(left, (os.cpu_count() or 1) - len(running)):
            began = time.monotonic()
            running[_forked(trial, compile_it=compile_it)] = (trial, began)
        if not running:
            return
        pid, status, used = os.wait4(-1, 0)
        trial, began = running.pop(pid)
        yield replace(
            trial,
            caught_by=_caught_by(trial, os.waitstatus_to_exitcode(status)),
            took_s=time.monotonic() - began,
            cpu_s=used.ru_utime + used.ru_stime,
        )


def _forked(trial: Trial, *, compile_it: bool) -> int:
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = -1
    try:
        code = _run(trial, compile_it=compile_it)
    except BaseException:  # noqa: BLE001 - a fork must never go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


def _run(trial: Trial, *, compile_it: bool) -> int:
    signal.alarm(math.ceil(trial.limit_s))  # the signal ends the process
    with trial.output.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.dont_write_bytecode = not compile_it
    for name in [name for name in sys.modules if name.partition(".")[0] in {"sagas", "tests"}]:
        del sys.modules[name]
    os.chdir(trial.tree)
    sys.path[0] = str(trial.tree)
    # Directories of its own: pytest removes old ones of other runs, which may do so as well.
    own = f"--basetemp={trial.output.with_suffix('')}"
    return pytest.main([*_PYTEST, own, *trial.tests])


def _caught_by(trial: Trial, code: int) -> str | None:
    if code == pytest.ExitCode.OK:
        return None
    if code == -signal.SIGALRM:
        return f"no end within {trial.limit_s:.0f} s"
    output = trial.output.read_text("utf-8")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if code != pytest.ExitCode.TESTS_FAILED or found is None:
        raise RuntimeError(f"{trial.name}: pytest {trial.tests} ended with {code}:\n{output}")
    return found[1]
