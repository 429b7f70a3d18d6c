"""Binding the engine to a Celery app, and finding it again."""

import copy
import itertools
import math
import os
import socket
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import celery
from celery import Celery

from sagas.decision import Timing
from sagas.errors import ConfigurationError
from sagas.hidden import Hidden
from sagas.record.database import Database
from sagas.record.owner import claim_record, require_own_record
from sagas.record.place import Place, place_of
from sagas.record.queries import StepView
from sagas.record.store import Store
from sagas.runtime.dev_environment import warn_of_other_broker
from sagas.runtime.messages import Messages
from sagas.runtime.payload_codec import PayloadCodec
from sagas.runtime.settings import Settings
from sagas.runtime.waiters import Waiters
from sagas.secret import mask

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["Runtime", "bind", "runtime_of"]

_ATTRIBUTE = "sagas"

#: Every app that was set up and is still in use: a factory may make one for each test.
_bound: "WeakSet[Runtime]" = WeakSet()
_numbers = itertools.count()


class Runtime:
    """What the engine keeps for one Celery app in one process."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        #: Rises from one runtime of this process to the next.
        self.number = next(_numbers)
        #: This worker's incarnation: new at each start, and inherited by the pool's children.
        #: None outside a worker.
        self.worker_id: uuid.UUID | None = None
        #: What Celery's signals call for this app; they hold it weakly.
        self.receivers: tuple[Callable[..., None], ...] = ()
        #: Returns the record's database where no setting names it; None where it must be set.
        self.default_database_url: Callable[[], str | URL] | None = None
        self.hostname = f"{os.getpid()}@{socket.gethostname()}"
        self._owns_record = False
        self._incarnations: dict[str, uuid.UUID] = {}
        self._seen_by: dict[str, Runtime] = {}

    @cached_property
    def settings(self) -> Settings:
        """The settings, read at first use: an app may be configured after it is bound."""
        return Settings.read(
            self.app.conf,
            namespace=self.app.namespace,
            default_url=self.default_database_url,
        )

    @property
    def runs_eagerly(self) -> bool:
        """Whether Celery runs tasks where they are sent (``task_always_eager``), as tests may."""
        return bool(self.app.conf.task_always_eager)

    @property
    def timing(self) -> Timing:
        """The durations that the decisions use."""
        timing = self.settings.timing
        # In eager mode nobody sweeps: every wait is a countdown, which Celery then leaves out.
        return replace(timing, timer_s=math.inf) if self.runs_eagerly else timing

    @cached_property
    def database(self) -> Database:
        """The record's database."""
        return Database(
            self.settings.saga_database_url,
            patience_s=self.settings.saga_lease_s,
            options=self.settings.saga_database_options,
            factory=self.settings.engine_factory,
        )

    @cached_property
    def store(self) -> Store:
        """The record's store."""
        return Store(self.database)

    @cached_property
    def record_place(self) -> Place:
        """Where the record is."""
        return self.database.read(place_of)

    @property
    def application(self) -> str | None:
        """The application to which the record must belong; None where the app has no name."""
        name: str | None = self.settings.saga_namespace or self.app.main
        # A module that runs as a script names its app so, and another name where it is imported.
        return None if name == "__main__" else name or None

    def require_own_record(self, *, claim: bool) -> None:
        """Check that the record belongs to this application; *claim*: take it if it is nobody's.

        Raises:
            WrongApplication: it belongs to another one.
        """
        application = self.application
        if application is None or self._owns_record:
            return
        owned = self.database.read(lambda c: require_own_record(c, application))
        if claim and not owned:
            self.database.write(lambda c: claim_record(c, application))
        self._owns_record = owned or claim

    @cached_property
    def payload_codec(self) -> PayloadCodec:
        """The conversion of payloads into what the record keeps, and back."""
        return PayloadCodec(self.settings)

    @cached_property
    def waiters(self) -> Waiters:
        """The callers in this process that wait for sagas to end."""
        return Waiters(self.database)

    def reset(self) -> None:
        """Close the database, and read the settings anew at the next use."""
        if "database" in vars(self):
            self.database.dispose()
        for name, value in vars(Runtime).items():
            if isinstance(value, cached_property):
                vars(self).pop(name, None)
        self._seen_by.clear()

    def shown(self, steps: Iterable[StepView]) -> list[StepView]:
        """Return steps with outputs that people may see: decrypted, with secrets masked."""
        return [replace(step, output=step.output and self.masked(step.output)) for step in steps]

    def masked(self, kept: str) -> str:
        """Return a payload of the record that people may see: decrypted, with secrets masked."""
        return Hidden(mask(self.payload_codec.decode(kept)) or "")

    @cached_property
    def messages(self) -> Messages:
        """The messages of this app."""
        if not self.runs_eagerly:
            warn_of_other_broker(self.app)
        return Messages(self.app, self.settings)

    def actor(self, role: str) -> str:
        """Return who acts, for the history: a role on this node."""
        return f"{role} {self.hostname}"

    def enter_worker(self, hostname: str) -> None:
        """Begin an incarnation as a worker with this node name."""
        self.worker_id = self._incarnations[hostname] = uuid.uuid4()
        self.hostname = hostname
        self._seen_by.pop(hostname, None)

    def as_worker(self, hostname: str | None) -> "Runtime":
        """Return the runtime as the worker with this node name sees it.

        One process may run several workers of one app: then this runtime itself is the newest of
        them. Returns this runtime where no worker of this process has the name.
        """
        if hostname is None or hostname not in self._incarnations:
            return self
        if hostname not in self._seen_by:
            # The view shares all of this; what is cached after the copy would be its own.
            _ = self.store, self.payload_codec, self.waiters, self.messages
            view = copy.copy(self)
            view.worker_id, view.hostname = self._incarnations[hostname], hostname
            self._seen_by[hostname] = view
        return self._seen_by[hostname]


def bind(app: Celery) -> Runtime:
    """Return the app's runtime; the first call makes it."""
    runtime: Runtime | None = getattr(app, _ATTRIBUTE, None)
    if runtime is None:
        runtime = Runtime(app)
        setattr(app, _ATTRIBUTE, runtime)
        _bound.add(runtime)
    return runtime


def runtime_of(app: Any = None) -> Runtime:
    """Return the runtime of *app*, of the current app, or of the only app that was set up.

    Celery's current app belongs to the calling thread, and the threads of a web server have none:
    there, the only app that was set up is found. Of apps with one name, which a factory that was
    called twice has made, the newest counts.

    Raises:
        ConfigurationError: no app was set up, or several and none of them is current.
    """
    found: Runtime | None = getattr(app or celery.current_app, _ATTRIBUTE, None)
    if found is not None:
        return found
    if app is not None:
        raise ConfigurationError(
            f"The Celery app {app.main!r} is not set up for sagas. Call sagas.setup(app) once, "
            "where it is made."
        )
    in_order = sorted(_bound, key=lambda runtime: runtime.number)
    newest = {runtime.app.main: runtime for runtime in in_order}
    if len(newest) == 1:
        return next(iter(newest.values()))
    if newest:
        names = ", ".join(sorted(repr(name) for name in newest))
        raise ConfigurationError(
            f"Several Celery apps are set up for sagas ({names}), and none of them is this "
            "thread's current app. Choose one: give app= to start() and get(), or call "
            "app.set_default() once."
        )
    raise ConfigurationError(
        "No Celery app is set up for sagas here. Call sagas.setup(app) once, where the app is "
        "made, and import that module before you start sagas."
    )
