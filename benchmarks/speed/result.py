"""What a run has found, as it is written to JSON and read back."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import psycopg
import redis

from benchmarks.speed.contenders import BASELINE, CONTENDERS
from benchmarks.speed.metrics import METRICS
from benchmarks.speed.parts import Figures
from benchmarks.speed.servers import Servers
from benchmarks.speed.summary import ratios, spread, values

__all__ = ["Result", "describe_machine"]


@dataclass(slots=True)
class Result:
    """A run, or as much of it as is done.

    Attributes:
        variant: the name of what was run.
        effort: how much was run, by the name of the option.
        machine: what it ran on, by what it is.
        skipped: the reason why a contender did not take part, by its name.
        rounds: of each round, the figures of each contender by the name of the metric.
    """

    variant: str
    effort: dict[str, int]
    machine: dict[str, str]
    skipped: dict[str, str]
    rounds: list[dict[str, Figures]]

    @property
    def contenders(self) -> list[str]:
        """Those that took part, in the order of the registry."""
        return [name for name in CONTENDERS if any(name in figures for figures in self.rounds)]

    def write(self, path: Path) -> None:
        """Write it with what follows from it: a spread of each figure and of its ratio."""
        path.parent.mkdir(parents=True, exist_ok=True)
        summary = {name: self._summary(name) for name in self.contenders}
        text = json.dumps({**asdict(self), "summary": summary}, indent=1, ensure_ascii=False)
        path.write_text(f"{text}\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back, without what follows from it."""
        content = json.loads(path.read_text())
        del content["summary"]
        return cls(**content)

    def _summary(self, contender: str) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        for metric in METRICS:
            if found := spread(values(self.rounds, contender, metric.name)):
                summary[metric.name] = {**found._asdict()}
                to_chain = spread(ratios(self.rounds, contender, metric.name, to=BASELINE))
                if metric.is_compared and to_chain:
                    summary[metric.name]["ratio"] = to_chain._asdict()
        return summary


def describe_machine(servers: Servers) -> dict[str, str]:
    """Say what the run is made on, and how busy it is at the moment."""
    with psycopg.connect(servers.postgres_url.replace("+psycopg", "")) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    with redis.Redis.from_url(servers.redis_url) as client:
        redis_version = str(client.info("server")["redis_version"])
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": str(os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "PostgreSQL": str(row[0]).split()[0] if row else "",
        "Redis": redis_version,
        "Celery": version("celery"),
    }
