"""What the engine of the record passes to SQLAlchemy's pool and to the driver."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import URL, Pool

from sagas.errors import ConfigurationError

__all__ = [
    "POOL_OPTIONS",
    "check_options",
    "connect_args",
    "pool_options",
    "refuse_async",
    "without_typed",
]

#: The options of the pool that an application may set, each with its type.
POOL_OPTIONS: dict[str, tuple[type, ...]] = {
    "max_overflow": (int,),
    "pool_pre_ping": (bool,),
    "pool_recycle": (int, float),
    "pool_size": (int,),
    "pool_timeout": (int, float),
    "pool_use_lifo": (bool,),
}

#: A connection is used no longer than this: a process that only reads gets no error from an old
#: primary, and would see its old data for ever.
_CONNECTION_AGE_S = 60

_SERVER_POOL = {"pool_size": 5, "max_overflow": 10, "pool_recycle": _CONNECTION_AGE_S}

#: By driver. A server that vanished without a word is noticed in seconds, not in the two hours of
#: TCP; PyMySQL's limit must be longer than any statement, its wait for a lock included. And no
#: statement is prepared on the server: behind a pooler, the next one may come to another server.
_CONNECT_ARGS: dict[str, dict[str, Any]] = {
    "psycopg": {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "prepare_threshold": None,
    },
    "pymysql": {
        "charset": "utf8mb4",
        "connect_timeout": 5,
        "read_timeout": 20,
        "write_timeout": 20,
    },
    "pysqlite": {"timeout": 10},
}


def _whole_number_or_none(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


#: Options of the URL that the driver takes as Python values, and that SQLAlchemy leaves as text.
_TYPED: dict[str, dict[str, Callable[[str], Any]]] = {
    "psycopg": {"prepare_threshold": _whole_number_or_none},
    "pymysql": {"max_allowed_packet": int},
}


def check_options(options: Any) -> None:
    """Check ``saga_database_options``; raises ConfigurationError, which names the option."""
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise ConfigurationError(
            f"saga_database_options is a mapping, not {type(options).__name__}. Give for instance "
            '{"pool_size": 2, "connect_args": {"application_name": "shop"}}.'
        )
    known = {"connect_args", "poolclass", *POOL_OPTIONS}
    if unknown := sorted(set(map(str, options)) - known):
        raise ConfigurationError(
            f"saga_database_options has unknown options: {', '.join(unknown)}. It takes "
            f"{', '.join(sorted(known))}. The record sets everything else itself."
        )
    for name, types in POOL_OPTIONS.items():
        if name in options:
            _check_type(name, options[name], types)
    poolclass = options.get("poolclass")
    if poolclass is not None and not (isinstance(poolclass, type) and issubclass(poolclass, Pool)):
        raise ConfigurationError(
            f"saga_database_options: poolclass = {poolclass!r}: give a class of sqlalchemy.pool."
        )
    _check_connect_args(options.get("connect_args", {}))


def _check_type(name: str, value: Any, types: tuple[type, ...]) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = "True or False" if bool in types else "a number"
        raise ConfigurationError(f"saga_database_options: {name} = {value!r}: give {wanted}.")


def _check_connect_args(value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(
            "saga_database_options: connect_args is a mapping of the driver's options."
        )
    _refuse_autocommit(value, "saga_database_options")


def _refuse_autocommit(names: Mapping[str, Any], where: str) -> None:
    if "autocommit" in names or "isolation_level" in names:
        raise ConfigurationError(
            f"{where} sets autocommit or isolation_level. The record needs transactions, and "
            "begins and ends them itself: leave the option out."
        )


#: By backend: the driver to write in place of one for asyncio.
_SYNC_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
    "sqlite": "sqlite",
}


def refuse_async(url: URL) -> None:
    """Refuse a URL whose driver is for asyncio; raises ConfigurationError, which names another."""
    if url.get_dialect().is_async:
        backend = url.get_backend_name()
        instead = _SYNC_DRIVERS.get(backend, backend)
        raise ConfigurationError(
            f"saga_database_url begins with {url.drivername}://, a driver for asyncio, which the "
            f"record does not use. Write {instead}:// for the same database. Your own engines may "
            "keep their driver."
        )


def pool_options(url: URL, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pool's options: the record's own, unless *options* has others."""
    given = {name: value for name, value in options.items() if name != "connect_args"}
    if url.get_backend_name() == "sqlite" or "poolclass" in given:
        return given  # another class of pool takes other options
    return {**_SERVER_POOL, **given}


def connect_args(url: URL, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the driver's options: the record's own, over them the URL's, over them *options*.

    Raises:
        ConfigurationError: an option of the URL has no value that the driver takes.
    """
    _refuse_autocommit(url.query, "saga_database_url")
    driver = url.get_driver_name()
    own = {n: v for n, v in _CONNECT_ARGS.get(driver, {}).items() if n not in url.query}
    typed = {
        name: _read(name, url.query[name], read)
        for name, read in _TYPED.get(driver, {}).items()
        if name in url.query
    }
    return {**own, **typed, **options.get("connect_args", {})}


def without_typed(url: URL) -> URL:
    """Return the URL without the options that ``connect_args`` has read from it."""
    return url.difference_update_query(_TYPED.get(url.get_driver_name(), {}))


def _read(name: str, text: Any, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except (AttributeError, TypeError, ValueError):
        raise ConfigurationError(
            f"saga_database_url: {name}={text!r} is not a number that the driver takes."
        ) from None
