"""Where the command line finds the app of a test."""

from celery import Celery

__all__ = ["app"]

#: Each test puts its own in this place.
app = Celery("fuzz", broker="memory://", set_as_current=False)
