"""A Django in this process, whose databases come and go with the tests."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import make_url

django = pytest.importorskip("django", reason="Django is not installed")

from django.conf import settings  # noqa: E402 - after the check
from django.db import connections  # noqa: E402

__all__ = ["database", "django_settings_of", "prepare"]

_ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mariadb": "mysql", "mysql": "mysql"}


def prepare() -> None:
    """Configure Django, once in a process."""
    if settings.configured:
        return
    _stand_in_for_mysqlclient()
    settings.configure(
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        INSTALLED_APPS=["sagas.contrib.django"],
        SECRET_KEY="only for tests",  # noqa: S106
        USE_TZ=False,
        TIME_ZONE="Asia/Kolkata",  # where neither the database nor the machine is
    )
    django.setup()


def _stand_in_for_mysqlclient() -> None:
    """Let Django use PyMySQL, as applications without a C compiler do."""
    pymysql: Any = importlib.import_module("pymysql")
    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()


def django_settings_of(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for the database with this SQLAlchemy URL."""
    parsed = make_url(url)
    entry: dict[str, Any] = {
        "ENGINE": f"django.db.backends.{_ENGINES[parsed.get_backend_name()]}",
        "NAME": parsed.database,
        "USER": parsed.username or "",
        "PASSWORD": parsed.password or "",
        "HOST": parsed.host or parsed.query.get("host") or "",
        "PORT": str(parsed.port or parsed.query.get("port") or ""),
    }
    if entry["ENGINE"].endswith("sqlite3"):
        entry["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
    return entry


@contextmanager
def database(alias: str, url: str, **entry: Any) -> Iterator[str]:
    """Have a database under an alias of Django's while the block runs."""
    defaults = {
        "ATOMIC_REQUESTS": False,
        "AUTOCOMMIT": True,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": {},
        "TIME_ZONE": None,
        "TEST": {"CHARSET": None, "COLLATION": None, "MIGRATE": True, "MIRROR": None, "NAME": None},
    }
    before = connections.settings.get(alias)
    connections.settings[alias] = defaults | django_settings_of(url) | entry
    _forget(alias)
    try:
        yield alias
    finally:
        connections[alias].close()
        _forget(alias)
        if before is None:
            del connections.settings[alias]
        else:
            connections.settings[alias] = before


def _forget(alias: str) -> None:
    if hasattr(connections._connections, alias):  # noqa: SLF001
        del connections[alias]
