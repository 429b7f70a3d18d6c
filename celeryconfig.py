"""The configuration of the reference application, the same for its workers, its shop, and Flower.

Three variables of the environment choose where it runs; everything else is the same everywhere:

``TASKS_BROKER_URL``
    The broker. Give the application a Redis database of its own: two applications in one take
    each other's messages.
``TASKS_DATABASE_URL``
    A PostgreSQL database, in which each service has its own schema. Without it each service has
    its own SQLite file.
``TASKS_DATA_DIR``
    The directory of those SQLite files; ``.data`` without it.
"""

from os import environ
from pathlib import Path


def database_url(service: str) -> str:
    """Return the URL of the service's own database, by the environment as it is now."""
    if url := environ.get("TASKS_DATABASE_URL"):
        return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{service}"
    directory = Path(environ.get("TASKS_DATA_DIR", ".data")).resolve()
    directory.mkdir(parents=True, exist_ok=True)  # SQLite makes a file, but no directory
    return f"sqlite:///{directory / service}.db"


broker_url = environ.get("TASKS_BROKER_URL", "redis://127.0.0.1:6379/0")

# A worker may start before its broker does, and outlives a restart of it.
broker_connection_retry_on_startup = True

# A peer that vanished without a word is noticed by the system; a broker that does not answer costs
# seconds, not minutes. A publication that fails all the same costs nothing: the record remembers
# it, and a sweep repeats it.
broker_transport_options = {"socket_keepalive": True, "socket_connect_timeout": 5}

# The record lives where the order row lives, so that both commit in one transaction.
saga_database_url = database_url("order")

# A queue for each service and one for the engine itself. A plain worker serves them all;
# `-Q payment` makes one that serves payments only.
task_default_queue = "saga"
task_queues = {
    name: {"routing_key": name}
    for name in ("saga", "order", "inventory", "payment", "points", "shipping", "notification")
}

# Nothing but JSON is read: a pickle from whoever reaches the broker would be code that runs here.
accept_content = ["json"]
task_serializer = "json"

# The record holds every outcome; a second copy in a result backend would only cost.
task_ignore_result = True

# Whoever watches (Flower, `celery events`) sees each step when it is sent and when it runs.
task_send_sent_event = True
worker_send_task_events = True

# What a worker has fetched and not begun is lost when it is killed. The sweep brings it back, but
# less is quicker.
worker_prefetch_multiplier = 1
