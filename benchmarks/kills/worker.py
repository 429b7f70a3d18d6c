"""The app of a worker process, made for the place in its environment."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import signals

from benchmarks.kills.place import Place, Variant

_place = Place.from_environment()

# A worker imports only what it runs, so a chain's worker boots without the engine.
_module = "saga" if Variant(_place.variant).is_saga else "chain"

app = import_module(f"benchmarks.kills.{_module}").make_app(_place)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _tell_that_it_is_ready(**_: Any) -> None:
    (Path(os.environ["KILLS_READY"]) / f"{os.getpid()}.ready").touch()
