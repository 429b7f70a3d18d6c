"""The configuration of the reference application, shared by its workers, its shop and Flower.

Three environment variables choose where it runs; everything else is the same everywhere:

``TASKS_BROKER_URL``
    The broker. Give the application a Redis database of its own: two applications that share one
    take each other's messages.
``TASKS_DATABASE_URL``
    A PostgreSQL database, in which each service has its own schema. Without it, each service has
    its own SQLite file.
``TASKS_DATA_DIR``
    The directory of those SQLite files; ``.data`` by default.
"""

from os import environ
from pathlib import Path


def database_url(service: str) -> str:
    """Return the URL of the service's own database, as the environment defines it now."""
    if url := environ.get("TASKS_DATABASE_URL"):
        return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{service}"
    directory = Path(environ.get("TASKS_DATA_DIR", ".data")).resolve()
    directory.mkdir(parents=True, exist_ok=True)  # SQLite creates files, but not directories
    return f"sqlite:///{directory / service}.db"


broker_url = environ.get("TASKS_BROKER_URL", "redis://127.0.0.1:6379/0")

# A worker may start before its broker, and survives the broker's restarts.
broker_connection_retry_on_startup = True

# Keep-alive notices a broker that vanished silently; one that does not answer costs seconds instead
# of minutes. Nothing is lost if a publish fails all the same: a sweep repeats it, by the record.
broker_transport_options = {"socket_keepalive": True, "socket_connect_timeout": 5}

# The record is in the database of the order rows, so that both commit in one transaction.
saga_database_url = database_url("order")

# One queue for each service, and one for the engine itself. A plain worker serves all of them; with
# `-Q payment`, it serves payments only.
task_default_queue = "saga"
task_queues = {
    name: {"routing_key": name}
    for name in ("saga", "order", "inventory", "payment", "points", "shipping", "notification")
}

# Only JSON is accepted: a pickle from anyone who can reach the broker would run code here.
accept_content = ["json"]
task_serializer = "json"

# The record has every outcome; a second copy in a result backend would only add cost.
task_ignore_result = True

# Flower and `celery events` see each step when it is sent and when it runs.
task_send_sent_event = True
worker_send_task_events = True

# Messages that a killed worker had prefetched are lost until a sweep sends them again. Recovery is
# faster if there are few.
worker_prefetch_multiplier = 1
