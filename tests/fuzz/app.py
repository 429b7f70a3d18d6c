"""The place where the command line finds the app of a test."""

from celery import Celery

__all__ = ["app"]

#: Each test puts its own app here.
app = Celery("fuzz", broker="memory://", set_as_current=False)
