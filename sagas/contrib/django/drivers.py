"""The drivers of Django's databases, by their names in SQLAlchemy."""

from typing import Any

from sagas.errors import ConfigurationError

__all__ = ["driver_of"]


def driver_of(django: Any) -> str:
    """Return the name of a Django connection's driver in a SQLAlchemy URL.

    Raises:
        ConfigurationError: sagas do not know this database.
    """
    # PyMySQL may stand in for MySQLdb, and Django may use either version of psycopg.
    module = django.Database.__name__
    match django.vendor, module:
        case "sqlite", _:
            return "sqlite"
        case "postgresql", _:
            return f"postgresql+{module}"
        case "mysql", "pymysql":
            return "mysql+pymysql"
        case "mysql", _:
            return "mysql+mysqldb"
        case other, _:
            raise ConfigurationError(
                f"DATABASES[{django.alias!r}] is a database of the kind {other}. Sagas need "
                "PostgreSQL, MariaDB or SQLite: name another alias, or set "
                "CELERY_SAGA_DATABASE_URL to a database of their own."
            )
