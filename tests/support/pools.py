"""Workers in each of Celery's pools, on one broker and one record."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from sqlalchemy import select

from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.queries import HistoryEntry, SagaView
from sagas.states import ENDED
from tests.support.waiting import HANG_S, wait_until
from tests.support.workers import Worker, running_worker

__all__ = ["APP", "POOLS", "Pools", "needs"]

APP = "tests.field.pools_app"


def needs(library: str, *others: object) -> ParameterSet:
    """Return a library's pool, skipped with a reason if the library is not installed.

    What eventlet shows is mostly what gevent shows, and is left to ``make slow``.

    *others*: the values of further parameters.
    """
    missing = importlib.util.find_spec(library) is None
    marks = [pytest.mark.skipif(missing, reason=f"{library} is not installed")]
    if library == "eventlet":
        marks.append(pytest.mark.slow)
    return pytest.param(library, *others, marks=marks)


#: Each of Celery's pools.
POOLS = ["prefork", "solo", "threads", needs("gevent"), needs("eventlet")]


@dataclass(frozen=True, slots=True)
class Pools:
    """A broker, a record, and the workers of one test."""

    env: dict[str, str]
    record: Database
    directory: Path

    def worker(self, pool: str, *options: str, name: str = "one") -> AbstractContextManager[Worker]:
        """Run a worker with this pool."""
        log = self.directory / f"{name}.log"
        return running_worker(APP, "-P", pool, "-c", "4", *options, log=log, env=self.env)

    def start(self, saga: str, **inputs: Mapping[str, object]) -> None:
        """Start sagas by key from an application process."""
        self._apply(
            f"import json, sys; from {APP} import Job, {saga}\n"
            "for key, given in json.loads(sys.argv[1]).items():\n"
            f"    {saga}.start(Job(key=key, **given), key=key)\n",
            json.dumps(inputs),
        )

    def cancel(self, key: str) -> None:
        """Cancel a saga from an application process."""
        code = f"import sagas, sys; import {APP}; sagas.get(sys.argv[1]).cancel(reason='a test')"
        self._apply(code, str(self.saga(key).id))

    def _apply(self, code: str, argument: str) -> None:
        """Run code of the application in a process of its own."""
        command = [sys.executable, "-c", code, argument]
        subprocess.run(command, env={**os.environ, **self.env}, check=True)

    def pass_time(self) -> None:
        """Wait until another saga has run for three leases: what is due by then was swept."""
        self.start("ends", meanwhile={"takes_s": 3.0})
        self.wait_until_ended("meanwhile")

    def saga(self, key: str) -> SagaView:
        """Return the saga with this key."""
        (found,) = self.record.read(lambda c: queries.find_sagas(c, key=key))
        return found

    def wait_until_ended(self, *keys: str, timeout_s: float = HANG_S) -> None:
        """Wait until these sagas have ended."""
        wait_until(
            lambda: all(self.saga(key).status in ENDED for key in keys),
            timeout_s=timeout_s,
            what=f"{', '.join(keys)} end",
        )

    def history(self, key: str) -> list[HistoryEntry]:
        """Return the history of a saga."""
        saga_id = self.saga(key).id
        return list(self.record.read(lambda c: queries.history_of(c, saga_id)))

    def error_type(self, key: str) -> str:
        """Return the error type with which the saga's only step ended."""
        query = select(t.step.c.error).where(t.step.c.saga_id == self.saga(key).id)
        error = self.record.read(lambda c: c.execute(query).scalar_one())
        return str(error["type"])

    def effects(self, key: str) -> list[str]:
        """Return the effects that the participant recorded for a saga, in order."""
        file = self.directory / "effects.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.removeprefix(f"{key} ") for line in lines if line.startswith(f"{key} ")]
