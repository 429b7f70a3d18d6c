"""What is measured: each figure's name, unit and source."""

from dataclasses import dataclass

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of one contender in one round.

    Attributes:
        name: its key in the JSON.
        title: its heading.
        unit: what it is counted in.
        source: how it is measured.
        digits: how many decimals are shown.
        is_compared: whether its ratio to the bare chain says something.
    """

    name: str
    title: str
    unit: str
    source: str
    digits: int = 1
    is_compared: bool = False


METRICS = (
    Metric(
        "sagas_s",
        "throughput",
        "sagas/s",
        "One client starts the sagas one by one while the workers run; from the first start to the "
        "last end.",
        digits=0,
        is_compared=True,
    ),
    Metric(
        "starts_s",
        "starts, one by one",
        "starts/s",
        "The same client, after the workers have stopped.",
        digits=0,
        is_compared=True,
    ),
    Metric(
        "batch_starts_s",
        "starts, by 1,000",
        "starts/s",
        "One call that starts a thousand, after the workers have stopped, where there is one.",
        digits=0,
    ),
    Metric(
        "p50_ms",
        "latency, median",
        "ms",
        "One saga after another on an otherwise idle system, from before its start to its end.",
        is_compared=True,
    ),
    Metric("p99_ms", "latency, 99%", "ms", "As the median.", is_compared=True),
    Metric(
        "cpu_client_ms",
        "CPU of the client",
        "ms/saga",
        "Its own clock of CPU time, while it starts the sagas of the throughput.",
    ),
    Metric(
        "cpu_workers_ms",
        "CPU of the workers",
        "ms/saga",
        "From /proc, all their processes, while the sagas of the throughput run.",
    ),
    Metric(
        "cpu_database_ms",
        "CPU of PostgreSQL",
        "ms/saga",
        "From /proc, the server's processes for this contender's connections, looked at every "
        "second; what a connection uses between the last look and its end is missed.",
    ),
    Metric(
        "cpu_ms",
        "CPU of all three",
        "ms/saga",
        "The sum of client, workers and PostgreSQL.",
        is_compared=True,
    ),
    Metric(
        "commits",
        "durable commits",
        "a saga",
        "Commit records of this database's transactions in the write-ahead log (pg_walinspect).",
    ),
    Metric(
        "wal_kb",
        "WAL",
        "KB/saga",
        "All records of this database in the write-ahead log (pg_walinspect), without images of "
        "whole pages: their number depends on when the server makes a checkpoint.",
    ),
    Metric(
        "hot_percent",
        "HOT updates",
        "%",
        "pg_stat_user_tables: the share of updates that touched no index.",
        digits=0,
    ),
    Metric(
        "statements",
        "SQL statements",
        "a saga",
        "Queries and executions that pass a proxy before PostgreSQL, BEGIN and COMMIT included, in "
        "a separate pass; less what passes in the same time while nothing runs.",
    ),
    Metric(
        "idle_statements_s",
        "SQL statements, idle",
        "/s",
        "The same proxy, while nothing runs.",
    ),
    Metric(
        "redis_commands",
        "Redis commands",
        "a saga",
        "Commands that pass a proxy before Redis, counted likewise.",
    ),
    Metric(
        "idle_redis_commands_s", "Redis commands, idle", "/s", "The same proxy, while nothing runs."
    ),
    Metric(
        "redis_kb",
        "Redis traffic",
        "KB/saga",
        "Bytes in both directions through the same proxy, counted likewise.",
    ),
    Metric("idle_redis_kb_s", "Redis traffic, idle", "KB/s", "The same proxy, while nothing runs."),
    Metric(
        "worker_mb",
        "memory of the workers",
        "MB",
        "After the run, all processes of all workers, what they share counted once (PSS).",
        digits=0,
    ),
)
