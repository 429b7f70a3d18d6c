"""An application that makes the record's engine itself, once, before its worker forks."""

import os
from typing import Any

from celery import Celery
from sqlalchemy import Engine, create_engine, event, text

import sagas
from tests.field.database_shop import order

__all__ = ["app", "order"]

_engine = create_engine(os.environ["OWN_ENGINE_RECORD"], pool_size=2)
with _engine.connect() as _connection:
    _connection.execute(text("SELECT 1"))  # so that a child inherits a connection


@event.listens_for(_engine, "do_connect")
def _with_a_token(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
    parameters["application_name"] = f"token of {os.getpid()}"


def record_engine() -> Engine:
    """Return the one engine."""
    return _engine


app = Celery("own_engine", broker=os.environ["OWN_ENGINE_BROKER"], set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.01},
    saga_engine="tests.field.own_engine_app:record_engine",
)
sagas.setup(app)
