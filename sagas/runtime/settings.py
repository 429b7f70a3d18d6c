"""The settings, read from Celery's own configuration under the prefix ``saga_``."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from celery.utils.imports import symbol_by_name
from sqlalchemy import URL

from sagas.decision import Timing
from sagas.definition import is_name
from sagas.errors import ConfigurationError
from sagas.record.engine_options import check_options
from sagas.runtime import dev_environment

__all__ = ["DATABASE_VARIABLE", "Settings"]

#: The environment variable for the record's database, where the configuration has none.
DATABASE_VARIABLE = "SAGAS_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an application may set; durations are in seconds.

    Attributes:
        saga_database_url: the record's database, as a SQLAlchemy URL. Required, unless
            ``SAGAS_DATABASE_URL`` is in the environment, or ``saga_engine`` is set.
        saga_database_options: options of SQLAlchemy's pool (``pool_size``, ``max_overflow``,
            ``pool_timeout``, ``pool_recycle``, ``pool_pre_ping``, ``pool_use_lifo``,
            ``poolclass``), and ``connect_args``, a mapping that goes to the driver.
        saga_engine: in place of the URL and its options, for passwords that change and pools of
            your own: a function without arguments that returns a SQLAlchemy engine for the record
            alone, or its import path, ``"package.module:name"``. Each process calls it once.
        saga_sweep_interval_s: how often each worker looks for sagas that are due.
        saga_lease_s: a worker without a heartbeat for this long counts as dead, and a message
            without progress for this long is looked for.
        saga_queue: the queue of the engine's own task; None for the queue of the step that failed.
        saga_namespace: the name of the application to which the record belongs; None for the name
            of the Celery app. Where several apps are one application, with one broker, they share
            it.
        saga_payload_limit_bytes: the largest input or output, in bytes of JSON, before encryption.
        saga_alert_urls: webhooks that receive each alert as JSON.
        saga_codec: encrypts inputs and outputs at rest: an object with ``encode(str) -> str`` and
            ``decode(str) -> str``, or its import path, ``"package.module:name"``.
    """

    saga_database_url: str | URL | None
    saga_database_options: Mapping[str, Any] | None = field(default=None, repr=False)
    saga_engine: Any = None
    saga_sweep_interval_s: float = 1.0
    saga_lease_s: float = 3.0
    saga_queue: str | None = None
    saga_namespace: str | None = None
    saga_payload_limit_bytes: int = 1_048_576
    saga_alert_urls: Sequence[str] = ()
    saga_codec: Any = None

    @classmethod
    def read(
        cls,
        conf: Mapping[str, Any],
        *,
        namespace: str | None = None,
        default_url: Callable[[], str | URL] | None = None,
    ) -> "Settings":
        """Read the settings from an app's configuration; *namespace* is the app's, if it has one.

        *default_url* is asked for the record's database where nothing names it.

        Raises:
            ConfigurationError: a setting is missing, out of its range, or unknown.
        """
        known = [setting.name for setting in fields(cls)]
        _refuse_unknown(conf, known, namespace)
        # By name: Celery finds a setting under the namespace too, but lists it as it is written.
        given = {name: value for name in known if (value := _value(conf, name)) is not _ABSENT}
        if given.get("saga_engine") is None:
            given["saga_database_url"] = _database_url(given, default_url, namespace)
        else:
            given.setdefault("saga_database_url", None)
        settings = cls(**given)
        settings._check()
        _refuse_code(conf)
        return settings

    def _check(self) -> None:
        for name in ("saga_sweep_interval_s", "saga_lease_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:  # NaN is refused as well
                raise ConfigurationError(f"{name} = {value!r}: give seconds above 0.")
        limit = self.saga_payload_limit_bytes
        if not isinstance(limit, int) or not limit > 0:
            raise ConfigurationError(f"saga_payload_limit_bytes = {limit!r}: give bytes above 0.")
        namespace = self.saga_namespace
        if namespace is not None and not (isinstance(namespace, str) and is_name(namespace)):
            raise ConfigurationError(
                f"saga_namespace = {namespace!r}: give a name of 1 to 200 printable characters."
            )
        check_options(self.saga_database_options)
        if self.saga_engine is not None:
            self._check_engine()
        urls = self.saga_alert_urls
        if isinstance(urls, str) or not all(_is_web_url(url) for url in urls):
            raise ConfigurationError(
                'saga_alert_urls is a list of http or https URLs: ["https://host/path"].'
            )

    def _check_engine(self) -> None:
        if self.saga_database_url or self.saga_database_options:
            other = "saga_database_url" if self.saga_database_url else "saga_database_options"
            raise ConfigurationError(
                f"saga_engine and {other} are both set. saga_engine makes the record's engine "
                f"alone: leave one of them out, or use {other} inside that function."
            )
        if not callable(self.engine_factory):
            raise ConfigurationError(
                f"saga_engine = {self.saga_engine!r} is not a function that returns an engine. "
                "Give the function itself, or its import path, so that each process calls it."
            )

    @property
    def engine_factory(self) -> Callable[[], Any] | None:
        """The function of ``saga_engine``, imported; None where it is not set."""
        if not isinstance(self.saga_engine, str):
            factory: Callable[[], Any] | None = self.saga_engine
            return factory
        try:
            found: Callable[[], Any] = symbol_by_name(self.saga_engine)
        except (AttributeError, ImportError, ValueError) as error:
            raise ConfigurationError(
                f"saga_engine = {self.saga_engine!r} cannot be imported ({error}). "
                'Give "package.module:name".'
            ) from error
        return found

    @property
    def heartbeat_s(self) -> float:
        """The interval of a worker's heartbeat: a third of the lease, so that one may be missed."""
        return self.saga_lease_s / 3

    @property
    def timing(self) -> Timing:
        """The durations that the decisions use."""
        return Timing(lease_s=self.saga_lease_s, timer_s=2 * self.saga_sweep_interval_s)


def _database_url(
    given: Mapping[str, Any], default_url: Callable[[], str | URL] | None, namespace: str | None
) -> str | URL:
    url: str | URL | None = given.get("saga_database_url") or os.environ.get(DATABASE_VARIABLE)
    if not url and default_url is not None:
        return default_url()
    url = url or dev_environment.find().get(DATABASE_VARIABLE)
    if not url:
        name = _spelling("saga_database_url", namespace)
        raise ConfigurationError(
            f"{name} is not set. Set it in the Celery configuration, for instance "
            f'{name} = "postgresql+psycopg://user@host/database".'
        )
    return url


_ABSENT = object()


def _value(conf: Mapping[str, Any], name: str) -> Any:
    try:
        return conf[name]
    except KeyError:  # Celery's pending configuration answers neither `in` nor `get` truthfully
        return _ABSENT


def _spelling(name: str, namespace: str | None) -> str:
    """Return how a setting is written in the configuration, by Celery's rule for namespaces."""
    if not namespace:
        return name
    spelling = f"{namespace.rstrip('_')}_{name}"
    return spelling.upper() if namespace.isupper() else spelling.lower()


def _refuse_unknown(conf: Mapping[str, Any], known: Sequence[str], namespace: str | None) -> None:
    """Refuse a setting that is misspelt, or that Celery does not find where it is written."""
    spellings = {_spelling(name, namespace): name for name in known}
    beginnings = {_spelling(ours, namespace) for ours in _OURS}
    # Without the namespace, or in the wrong case, a setting would silently keep its default.
    overlooked = {name.upper() for name in (*known, *spellings)}
    unknown = [
        name
        for name in sorted({str(name) for name in conf} - {*known, *spellings})
        if name.startswith((*beginnings, *_OURS)) or name.upper() in overlooked
    ]
    if unknown:
        nearest = dict.fromkeys(found for name in unknown for found in _nearest(name, spellings))
        hint = f"Did you mean {', '.join(nearest)}? " if nearest else ""
        raise ConfigurationError(
            f"Unknown setting {', '.join(unknown)}. {hint}"
            f"The settings are: {', '.join(sorted(spellings))}."
        )


#: How our settings begin, and how they begin by mistake.
_OURS = ("saga_", "sagas_")


def _nearest(name: str, spellings: Mapping[str, str]) -> list[str]:
    """Return the setting that was probably meant, as it is to be written; empty where none is."""
    by_lower = {known: spelling for spelling, known in spellings.items()}
    given = name.lower()
    given = given[max(given.find("saga"), 0) :]
    return [by_lower[found] for found in difflib.get_close_matches(given, by_lower, n=1)]


def _is_web_url(url: Any) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


#: Serializers that let anybody who can write to the broker run code.
_RUN_CODE = {"pickle", "application/x-python-serialize", "yaml", "application/x-yaml"}


def _refuse_code(conf: Mapping[str, Any]) -> None:
    used = {*(conf.get("accept_content") or ()), conf.get("task_serializer")}
    if dangerous := sorted(used & _RUN_CODE):
        raise ConfigurationError(
            f"accept_content or task_serializer has {', '.join(dangerous)}: anybody who can write "
            'to the broker could run code in the workers. Set accept_content = ["json"] and '
            'task_serializer = "json".'
        )
