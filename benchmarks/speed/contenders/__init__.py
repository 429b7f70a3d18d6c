"""Who takes part, by name; a further lane or peer is one more entry here."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BASELINE", "CONTENDERS", "Contender"]

_HERE = "benchmarks.speed.contenders"

#: Two processes, as everyone has; mingling only delays the worker's start.
_CELERY = ("-m", "celery", "-A", "{module}", "worker", "-c", "2", "--without-mingle")


_NONE: frozenset[str] = frozenset()
_POSTGRESQL = frozenset({"postgresql"})
_EMBEDDED = _POSTGRESQL | {"sqlite"}
_ANY = _EMBEDDED | {"mariadb"}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the saga.

    Attributes:
        name: what ``--only`` takes.
        title: what tables say.
        module: its ``Program``, in this package.
        worker: the arguments of its interpreter that run a worker; none where its client does all.
        workers: how many of these are started.
        peer: the requirements of the environment that it needs; None for this one.
        records: the databases that its record can be in; none where it has no record.
        uses_redis: whether its messages go through Redis.
        environment: further variables of its processes.
    """

    name: str
    title: str
    module: str
    worker: tuple[str, ...] = _CELERY
    workers: int = 1
    peer: str | None = None
    records: frozenset[str] = _POSTGRESQL
    uses_redis: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The full name of its module."""
        return f"{_HERE}.{self.module}"

    @property
    def keeps_record(self) -> bool:
        """Whether it has a record in a database."""
        return bool(self.records)

    @property
    def is_ours(self) -> bool:
        """Whether it is celery-sagas itself, in whatever way it is run."""
        return self.module == "ours"

    @property
    def is_celery(self) -> bool:
        """Whether Celery's worker runs it, with whatever pool and options."""
        return self.worker is _CELERY

    def command(self, python: str = sys.executable, *options: str) -> list[str]:
        """Return the command of a worker."""
        return [python, *(part.format(module=self.path) for part in self.worker), *options]


#: What the others are compared with.
BASELINE = "chain"

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("ours", "ours, by messages", "ours", records=_ANY),
        Contender("chain", "bare chain", "chain", records=_NONE),
        Contender("update", "chain + UPDATE", "update"),
        Contender("orm", "chain + ORM", "orm", records=_ANY),
        Contender(
            "dbos",
            "DBOS, queue",
            "dbos_queue",
            worker=("-m", "{module}"),
            workers=2,
            peer="dbos",
            records=_EMBEDDED,
            uses_redis=False,
        ),
        Contender(
            "dbos-direct",
            "DBOS, in the client",
            "dbos_direct",
            workers=0,
            peer="dbos",
            records=_EMBEDDED,
            uses_redis=False,
        ),
        Contender(
            "procrastinate",
            "Procrastinate",
            "procrastinate_jobs",
            worker=(
                "-m",
                "procrastinate",
                "--log-level",
                "warning",
                "-a",
                "{module}.app",
                "worker",
            ),
            workers=2,
            peer="procrastinate",
            uses_redis=False,
        ),
        Contender(
            "dramatiq",
            "Dramatiq, no record",
            "dramatiq_pipeline",
            worker=("-m", "dramatiq", "--processes", "2", "{module}"),
            peer="dramatiq",
            records=_NONE,
        ),
        Contender(
            "taskiq",
            "Taskiq, no record",
            "taskiq_pipeline",
            worker=("-m", "taskiq", "worker", "--log-level", "WARNING", "{module}:broker"),
            peer="taskiq",
            records=_NONE,
        ),
    )
}
