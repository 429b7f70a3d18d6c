"""An application whose worker is this process: a record in a file and an in-memory broker."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery
from celery import _state as celery_state
from celery.app.trace import build_tracer

import sagas
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.runtime.app import runtime_of

__all__ = ["application", "run_all", "run_one"]


@contextmanager
def application(directory: Path) -> Iterator[Celery]:
    """Return the current Celery app, on its own record."""
    url = f"sqlite:///{directory}/record.db"
    database = Database(url)
    upgrade(database)
    database.dispose()
    made = Celery("field", broker="memory://", set_as_current=False)
    made.conf.update(
        saga_database_url=url,
        task_default_queue=f"field-{uuid.uuid4().hex}",
        broker_transport_options={"polling_interval": 0.01},
    )
    before = celery_state._tls.current_app  # noqa: SLF001
    celery_state._tls.current_app = made  # noqa: SLF001
    sagas.setup(made)
    try:
        yield made
    finally:
        celery_state._tls.current_app = before  # noqa: SLF001
        made.close()
        runtime_of(made).database.dispose()


def run_all(app: Celery, *, limit: int = 200) -> None:
    """Run messages as a worker does, each at once, until none is left."""
    for _ in range(limit):
        if not run_one(app):
            return
    raise AssertionError(f"{limit} messages were run, and there are more.")


def run_one(app: Celery) -> bool:
    """Run the next message; return False if there is none."""
    with (
        app.connection_for_read() as connection,
        connection.SimpleQueue(app.conf.task_default_queue) as waiting,
    ):
        try:
            message = waiting.get(block=False)
        except waiting.Empty:
            return False
        message.ack()
    headers, (args, kwargs, embed) = message.headers, message.payload
    task = app.tasks[headers["task"]]
    request = {**headers, **(embed or {}), "args": args, "kwargs": kwargs}
    request |= {"is_eager": False, "delivery_info": {}, "called_directly": False}
    build_tracer(task.name, task, app=app)(headers["id"], args, kwargs, request)
    return True
