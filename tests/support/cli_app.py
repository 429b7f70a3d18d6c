"""A Celery app for the command-line tests; the environment says where its record is."""

import os

from celery import Celery

import sagas
from tests.support import shop

__all__ = ["app", "shop"]

app = Celery("cli", broker="memory://", set_as_current=False)
app.conf.saga_database_url = os.environ.get("CLI_DATABASE_URL")
sagas.setup(app)
