"""A Celery chain without any record: what it costs to run four tasks one after another."""

from benchmarks.speed.contenders.celery_app import make_app
from benchmarks.speed.contenders.chains import chain_of

__all__ = ["app", "start"]

app = make_app()
start = chain_of(app)
