"""Workers in any pool, on a private broker and a record in a file."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from celery import Celery
from celery import _state as celery_state
from sqlalchemy import select

import sagas
from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.queries import HistoryEntry, SagaView
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import ENDED
from tests.support.waiting import wait_until
from tests.support.workers import Worker, running_worker

APP = "tests.field.pools_app"


def needs(library: str) -> ParameterSet:
    """Return the pool of a library, skipped by its name where that is not installed."""
    missing = importlib.util.find_spec(library) is None
    return pytest.param(
        library, marks=pytest.mark.skipif(missing, reason=f"{library} is not installed")
    )


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
        """Start sagas, by key, from an application process."""
        code = (
            f"import json, sys; from {APP} import Job, {saga}\n"
            "for key, given in json.loads(sys.argv[1]).items():\n"
            f"    {saga}.start(Job(key=key, **given), key=key)\n"
        )
        command = [sys.executable, "-c", code, json.dumps(inputs)]
        subprocess.run(command, env={**os.environ, **self.env}, check=True)

    def saga(self, key: str) -> SagaView:
        """Return the saga with this key."""
        (found,) = self.record.read(lambda c: queries.find_sagas(c, key=key))
        return found

    def wait_until_ended(self, *keys: str, timeout_s: float = 60) -> None:
        """Wait until these sagas have ended."""
        wait_until(
            lambda: all(self.saga(key).status in ENDED for key in keys),
            timeout_s=timeout_s,
            what=f"{', '.join(keys)} end",
        )

    def history(self, key: str) -> list[HistoryEntry]:
        """Return what happened to a saga."""
        saga_id = self.saga(key).id
        return list(self.record.read(lambda c: queries.history_of(c, saga_id)))

    def error_type(self, key: str) -> str:
        """Return the type of the error with which the saga's only step ended."""
        query = select(t.step.c.error).where(t.step.c.saga_id == self.saga(key).id)
        error = self.record.read(lambda c: c.execute(query).scalar_one())
        return str(error["type"])

    def effects(self, key: str) -> list[str]:
        """Return what the participant noted about a saga, in order."""
        file = self.directory / "effects.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.removeprefix(f"{key} ") for line in lines if line.startswith(f"{key} ")]


@pytest.fixture
def pools(redis_url: str, tmp_path: Path) -> Iterator[Pools]:
    """Return a broker and a record that are empty."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    record = Database(url)
    upgrade(record)
    env = {
        "POOLS_BROKER_URL": redis_url,
        "POOLS_DATABASE_URL": url,
        "POOLS_DIRECTORY": str(tmp_path),
    }
    yield Pools(env, record, tmp_path)
    record.dispose()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return the runtime of an app of this process, on a record that is empty."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.update(saga_database_url=url, saga_lease_s=60.0)
    monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
    sagas.setup(app)
    made = runtime_of(app)
    upgrade(made.database)
    yield made
    made.database.dispose()
    app.close()
