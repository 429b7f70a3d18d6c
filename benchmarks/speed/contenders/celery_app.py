"""The Celery app of a contender: its broker, and no result backend."""

from celery import Celery

from benchmarks.speed.place import here

__all__ = ["make_app"]


def make_app() -> Celery:
    """Make the app, as the current one; everything else has Celery's defaults."""
    app = Celery("bench", broker=here().redis_url, set_as_current=True)
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    return app
