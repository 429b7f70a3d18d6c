"""A broker, a record and a participant, and the trips that run on them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from sagas.record import queries
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.states import ENDED
from sagas.testing import Effect, violations
from tests.support.brokers import Broker
from tests.support.waiting import wait_until
from tests.support.workers import Worker, running_worker
from tests.system.ledger import create_tables, effects

__all__ = ["World", "world_on"]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one test runs on."""

    env: dict[str, str]
    broker: Broker
    record: Database
    participant: Database
    directory: Path
    stack: ExitStack = field(default_factory=ExitStack)
    workers: list[Worker] = field(default_factory=list)

    def worker(self, name: str, *options: str, nursery: bool = False) -> Worker:
        """Start a supervised worker; *nursery* suits one that is killed repeatedly."""
        log = self.directory / f"{name}.log"
        options = ("-c", "2", *options)
        running = running_worker(
            "tests.system.trip", *options, log=log, env=self.env, nursery=nursery
        )
        worker = self.stack.enter_context(running)
        self.workers.append(worker)
        return worker

    def arm(
        self, point: str, key: str, step: str | None = None, *, victim: str = "process"
    ) -> None:
        """Kill the first process that reaches this point of this trip."""
        (self._faults / "@".join(filter(None, (point, key, step)))).write_text(victim)

    def disarm(self, key: str) -> bool:
        """Remove the faults of a trip that have not fired; tell whether there were any."""
        armed = [fault for fault in self._faults.iterdir() if fault.name.split("@")[1] == key]
        for fault in armed:
            fault.unlink()
        return bool(armed)

    @property
    def _faults(self) -> Path:
        return Path(self.env["SAGAS_FAULTS"])

    def start(self, saga: str = "trip", /, **inputs: Mapping[str, object]) -> None:
        """Start sagas by key from a separate application process."""
        self.start_and_see(inputs, saga).check_returncode()

    def start_and_see(
        self, inputs: Mapping[str, Mapping[str, object]], saga: str = "trip"
    ) -> subprocess.CompletedProcess[bytes]:
        """Start sagas from a process that may die doing it; return its exit code."""
        words = [word for key, value in inputs.items() for word in (key, json.dumps(value))]
        command = [sys.executable, "-m", "tests.system.start_trips", saga, *words]
        return subprocess.run(command, env={**os.environ, **self.env}, check=False)

    def do(self, *jobs: Sequence[object]) -> list[int]:
        """Let an application do jobs, each in its own process; return the exit code of each."""
        command = [sys.executable, "-m", "tests.system.jobs", json.dumps(jobs)]
        environment = {**os.environ, **self.env}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        ends: list[int] = json.loads(done.stdout)
        return ends

    def start_batch(self, saga: str, count: int, *, first: int = 0, **given: object) -> None:
        """Start this many sagas in one transaction, from an application process."""
        words = [saga, str(first), str(count), json.dumps(given)]
        command = [sys.executable, "-m", "tests.system.start_batch", *words]
        subprocess.run(command, env={**os.environ, **self.env}, check=True)

    def operate(self, *words: str) -> str:
        """Run a command of the command line, which must succeed; return its output."""
        command = [sys.executable, "-m", "celery", "-A", "tests.system.trip", "saga", *words]
        environment = {**os.environ, **self.env}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def saga(self, key: str) -> SagaView:
        """Return the current state of the saga with a key, whatever its name."""
        found = self.record.read(lambda c: queries.find_sagas(c, key=key))
        assert len(found) == 1, f"{len(found)} sagas {key}"
        return found[0]

    def steps(self, key: str) -> dict[str, StepView]:
        """Return the current steps of a trip."""
        saga_id = self.saga(key).id
        return {s.name: s for s in self.record.read(lambda c: queries.steps_of(c, saga_id))}

    def history(self, key: str) -> Sequence[HistoryEntry]:
        """Return the history of a trip."""
        saga_id = self.saga(key).id
        return self.record.read(lambda c: queries.history_of(c, saga_id))

    def effects(self) -> Sequence[Effect]:
        """Return the participant's effects, in order."""
        return effects(self.participant)

    def sagas(self) -> Sequence[SagaView]:
        """Return every trip."""
        return self.record.read(lambda c: queries.find_sagas(c, limit=100_000))

    def undelivered(self) -> Sequence[str]:
        """Return the trips whose alerts are not known to have reached every receiver."""
        columns = (t.saga.c.key, t.alert.c.due_at, t.alert.c.delivered_to)
        query = select(*columns).join(t.alert, t.alert.c.saga_id == t.saga.c.id)
        alerts = self.record.read(lambda c: c.execute(query).all())
        return [row.key for row in alerts if row.due_at is not None or not row.delivered_to]

    def wait_until_ended(self) -> None:
        """Wait until every trip has ended, and check that everything holds of it."""

        def ended() -> bool:
            return all(saga.status in ENDED for saga in self.sagas())

        try:
            wait_until(ended, what="every saga ends")
        finally:
            found = violations(self.record, self.effects())
            logs = "\n".join(log.read_text()[-3000:] for log in self.directory.glob("*.log"))
            assert not found, "\n".join([*map(str, found), logs])


@contextmanager
def world_on(broker: Broker, database_url: str, tmp_path: Path) -> Iterator[World]:
    """Create a world on a broker and a record; its workers end with the block.

    The participant is on the same kind of database, so each kind exercises its barrier.
    """
    participant_url = database_url
    if database_url.startswith("sqlite"):  # one file for both would mean one lock for both
        participant_url = f"sqlite:///{tmp_path / 'participant.db'}"
    env = {
        "TRIP_BROKER_URL": broker.url,
        "TRIP_QUEUE": broker.queue,
        "TRIP_DATABASE_URL": database_url,
        "TRIP_PARTICIPANT_URL": participant_url,
        "SAGAS_FAULTS": str(tmp_path / "faults"),
    }
    (tmp_path / "faults").mkdir()
    made = World(env, broker, Database(database_url), Database(participant_url), tmp_path)
    create_tables(made.participant)
    with made.stack:
        yield made
        for worker in made.workers:
            worker.terminate()  # all at once: each is waited for in turn after this
    made.record.dispose()
    made.participant.dispose()
