"""The record in one of Django's databases."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections
from sqlalchemy import URL

import sagas
from sagas.contrib.django.drivers import driver_of
from sagas.errors import ConfigurationError
from sagas.record import migrate
from sagas.runtime.app import bind

__all__ = ["database_url", "setup", "upgrade_record"]

#: The alias of the record's database, by app.
_aliases: "WeakKeyDictionary[Celery, str]" = WeakKeyDictionary()

#: Options of Django itself, which the record does without: it has a pool and transactions of its
#: own.
_OF_DJANGO = {
    "postgresql": {"isolation_level", "pool", "server_side_binding"},
    "mysql": {"isolation_level"},
    "sqlite": {"init_command", "transaction_mode"},
}


def setup(app: Celery, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Bind the engine to a Celery app, as ``sagas.setup`` does, with the record in ``DATABASES``.

    Call it in the module that makes the app. No setting of Django is read before the first use, so
    tests have the record in their test database. ``CELERY_SAGA_DATABASE_URL``, where it is set,
    names another database for the record.
    """
    sagas.setup(app)
    bind(app).default_database_url = partial(database_url, using)
    _aliases[app] = using


def database_url(using: str = DEFAULT_DB_ALIAS) -> URL:
    """Return the address of one of ``DATABASES``, with its password and options, for SQLAlchemy.

    Raises:
        ConfigurationError: the record cannot be in this database, or an option has no counterpart.
    """
    django = connections[using]
    driver, settings = driver_of(django), django.settings_dict
    query = dict(_query(using, django.vendor, settings.get("OPTIONS") or {}))
    if django.vendor == "sqlite":
        if django.is_in_memory_db():
            raise ConfigurationError(
                f"DATABASES[{using!r}] is an in-memory database, which is not shared between "
                "processes, so the record cannot be in it. For tests, name a file: "
                '"TEST": {"NAME": BASE_DIR / "test.sqlite3"}.'
            )
        return URL.create(driver, database=str(settings["NAME"]), query=query)
    host = settings.get("HOST") or None
    if host is not None and host.startswith("/"):  # a socket
        query |= {"host" if django.vendor == "postgresql" else "unix_socket": host}
        host = None
    return URL.create(
        driver,
        username=settings.get("USER") or None,
        password=settings.get("PASSWORD") or None,
        host=host,
        port=int(settings["PORT"]) if settings.get("PORT") else None,
        database=settings["NAME"] or None,
        query=query,
    )


def _query(using: str, vendor: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name in _OF_DJANGO[vendor]:
            continue
        if name == "ssl" and vendor == "mysql" and isinstance(value, Mapping):
            yield from ((f"ssl_{part}", str(path)) for part, path in value.items())
        elif name == "assume_role" or not isinstance(value, str | int | float):
            raise ConfigurationError(
                f"DATABASES[{using!r}] has the option {name!r}, which the record's address cannot "
                "carry. Set CELERY_SAGA_DATABASE_URL, and CELERY_SAGA_DATABASE_OPTIONS where the "
                "driver needs more."
            )
        else:
            yield name, str(value)


def upgrade_record(using: str) -> None:
    """Create or upgrade the record's tables where the record is in this database.

    An in-memory database, which tests may have, is left without them.
    """
    django = connections[using]
    if django.vendor == "sqlite" and django.is_in_memory_db():
        return
    for app, alias in list(_aliases.items()):
        runtime = bind(app)
        if alias == using and runtime.settings.saga_database_url == database_url(using):
            migrate.upgrade(runtime.database)
