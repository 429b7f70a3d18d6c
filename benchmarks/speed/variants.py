"""What can be run in place of four steps that do nothing."""

from dataclasses import dataclass

from benchmarks.speed.contenders import Contender

__all__ = ["PLAIN", "VARIANTS", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run every contender.

    Attributes:
        name: what ``--variant`` takes.
        title: what tables say.
        step_s: how long each step waits, in seconds.
        payload_bytes: the length of the input's note.
        refuses: the last step refuses.
        worker_options: further options of Celery's worker; then only Celery takes part.
        record: which database the records are in; those that cannot be there are left out.
        settings: settings of the PostgreSQL database.
        slowness: by how much fewer sagas are run.
    """

    name: str
    title: str
    step_s: float = 0.0
    payload_bytes: int = 0
    refuses: bool = False
    worker_options: tuple[str, ...] = ()
    record: str = "postgresql"
    settings: tuple[str, ...] = ()
    slowness: int = 1

    def suits(self, contender: Contender) -> bool:
        """Tell whether a contender takes part."""
        if self.worker_options and not contender.is_celery:
            return False
        return not contender.keeps_record or self.record in contender.records


_WAIT_S = 0.05

PLAIN = "plain"

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(PLAIN, "four steps that do nothing"),
        Variant("compensated", "the last step refuses, three are undone", refuses=True),
        Variant("io", "each step waits 50 ms; two at once", step_s=_WAIT_S, slowness=3),
        Variant(
            "io-threads",
            "each step waits 50 ms; a pool of 20 threads",
            step_s=_WAIT_S,
            worker_options=("--pool", "threads", "--concurrency", "20"),
        ),
        Variant(
            "io-gevent",
            "each step waits 50 ms; a pool of 20 greenlets",
            step_s=_WAIT_S,
            worker_options=("--pool", "gevent", "--concurrency", "20"),
        ),
        Variant("payload", "an input of 10 KB", payload_bytes=10_000),
        Variant("events", "task events are on", worker_options=("--task-events",)),
        Variant("sqlite", "the records in SQLite", record="sqlite"),
        Variant("mariadb", "the records in MariaDB", record="mariadb"),
        # The server waits before each flush of its log, with the lock held, as a slow disk does.
        Variant(
            "slow-disk",
            "every flush of the log takes 3 ms longer",
            settings=("commit_delay = 3000", "commit_siblings = 0"),
        ),
    )
}
