"""The reference application of celery-sagas: orders that go through six services.

Start any number of workers with ``celery -A tasks worker``. On SQLite, which is for trying it out,
the first worker opens the shop. On PostgreSQL, open it once with ``python -m tasks.seed``.
"""

from celery import Celery
from celery.signals import worker_init

import sagas
from celeryconfig import database_url

app = Celery("tasks")
app.config_from_object("celeryconfig")
sagas.setup(app)

from tasks.order_saga import order_saga  # noqa: E402 - its steps become tasks of the app above

__all__ = ["app", "order_saga"]


def _open_the_shop(**_: object) -> None:
    if database_url("order").startswith("sqlite"):
        from tasks.seed import prepare  # noqa: PLC0415 - needed only to open the shop

        prepare()


worker_init.connect(_open_the_shop)
