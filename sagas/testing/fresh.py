"""A fresh start for the next test: no settings from the last one, and no sagas."""

from celery import Celery
from sqlalchemy import Connection, delete

from sagas.record import tables as t
from sagas.runtime.app import runtime_of

__all__ = ["empty_record", "reset_runtime"]


def reset_runtime(app: Celery | None = None) -> None:
    """Forget what the engine has read and opened for an app: settings, database, prepared messages.

    The next use reads the configuration anew, so one test may have its own ``saga_database_url``.

    Args:
        app: the Celery app; by default the current one.

    Raises:
        ConfigurationError: the app was not set up.
    """
    runtime_of(app).reset()


def empty_record(app: Celery | None = None) -> None:
    """Delete every saga from an app's record, with its history and its alerts.

    For tests that commit, and whose keys would meet again. The tables stay.

    Args:
        app: the Celery app; by default the current one.

    Raises:
        RecordNotReady: the record's tables are missing.
    """

    def work(connection: Connection) -> None:
        for table in (t.alert, t.history, t.step, t.saga):
            connection.execute(delete(table))

    runtime_of(app).database.write(work)
