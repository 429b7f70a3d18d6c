"""Workers in any pool, on a private broker and a record in a file."""

import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """Return a library's pool, skipped with a reason if the library is not installed."""
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
        """Start sagas by key from an application process."""
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


@pytest.fixture
def pools(redis_url: str, tmp_path: Path) -> Iterator[Pools]:
    """Return an empty broker and an empty record."""
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
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Return the runtime of an app in this process, on an empty record."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.update(saga_database_url=url)
    sagas.setup(app)
    made = runtime_of(app)
    upgrade(made.database)
    yield made
    made.database.dispose()
    app.close()


MakeApp = Callable[..., Runtime]


@pytest.fixture
def make_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeApp]:
    """Return a function that makes an app from a record's URL and settings and makes it current."""
    with ExitStack() as stack:

        def make(url: str, **settings: Any) -> Runtime:
            app = Celery("shop", broker="memory://", set_as_current=False)
            app.conf.update(
                saga_database_url=url, task_default_queue=f"shop-{uuid.uuid4().hex}", **settings
            )
            monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
            sagas.setup(app)
            stack.callback(_close, app)
            return runtime_of(app)

        yield make


def _close(app: Celery) -> None:
    app.close()
    if "database" in vars(runtime_of(app)):
        runtime_of(app).database.dispose()


@pytest.fixture
def field_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return the runtime of the current app: a record in a file and an in-memory broker."""
    app = Celery("field", broker="memory://", set_as_current=False)
    app.conf.saga_database_url = f"sqlite:///{tmp_path / 'record.db'}"
    app.conf.saga_lease_s = 1.0
    monkeypatch.setattr(celery_state._tls, "current_app", app)  # noqa: SLF001
    sagas.setup(app)
    sagas.upgrade_record()
    yield runtime_of(app)
    app.close()
    runtime_of(app).database.dispose()
