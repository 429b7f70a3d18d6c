"""The saga as a DBOS workflow of four steps."""

import os
from functools import cache

import sqlalchemy
from dbos import DBOS, DBOSConfig

from benchmarks.speed.place import LAST, STEPS, here
from benchmarks.speed.work import Refused, work

__all__ = ["config", "count_ended", "engine", "run_steps"]


def config() -> DBOSConfig:
    """Return the configuration: its defaults, and an identity for each process."""
    return {
        "name": "bench",
        "system_database_url": here().record_url,
        "application_version": "1",
        "executor_id": str(os.getpid()),
        "console_log_level": "ERROR",
    }


def run_steps() -> None:
    """Run the steps, and undo them where the last one refuses; called inside a workflow."""
    try:
        for index in STEPS:
            _do(index)
    except Refused:
        for index in reversed(STEPS[:LAST]):
            _undo(index)


def count_ended() -> int:
    """Count the workflows that have ended by themselves."""
    schema = None if engine().dialect.name == "sqlite" else "dbos"
    status: sqlalchemy.ColumnClause[str] = sqlalchemy.column("status")
    workflows = sqlalchemy.table("workflow_status", status, schema=schema)
    query = sqlalchemy.select(sqlalchemy.func.count()).where(status == "SUCCESS")
    with engine().connect() as connection:
        return int(connection.scalar(query.select_from(workflows)) or 0)


@cache
def engine() -> sqlalchemy.Engine:
    """Return an engine of our own for the database of DBOS."""
    return sqlalchemy.create_engine(here().record_url)


def _undo_nothing(index: int) -> None:
    del index


_do = DBOS.step(name="do")(work)
_undo = DBOS.step(name="undo")(_undo_nothing)
