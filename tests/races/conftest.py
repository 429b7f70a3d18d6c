"""The databases and levels of isolation at which transactions race."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sagas.record import database
from tests.races.arena import Arena, open_arena
from tests.support.servers import DatabaseServer, real_postgres_url

# There are thousands of races: one PostgreSQL is enough, a real one if there is one.
_POSTGRES = "postgresql-server" if real_postgres_url() else "postgresql"

_STRICT = "SERIALIZABLE"
_PAIRS = Path(__file__).with_name("test_sagas.py")


@pytest.fixture(
    params=[(_POSTGRES, "READ COMMITTED"), (_POSTGRES, _STRICT), ("sqlite", None)],
    ids=["read-committed", "serializable", "sqlite"],
)
def arena(
    request: pytest.FixtureRequest,
    record_server: Callable[[str], DatabaseServer],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Arena]:
    """Return a database with the record's tables, and two sessions on it."""
    server, level = request.param
    # The scheduler decides how long a refused transaction waits before it tries again.
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
    monkeypatch.setattr(database, "time", clock)
    with record_server(server).database() as url, open_arena(url, level) as made:
        yield made


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave pairs of transactions at SERIALIZABLE to ``make slow``: the engine runs at the other.

    Starts stay: they join a caller's transaction, which has the level that the caller chose. Starts
    that reuse a key are left out too: they run many statements, which interleave in many ways.
    """
    for item in items:
        called = getattr(item, "callspec", None)
        many = item.path == _PAIRS or "compensated" in item.name
        if called and many and called.params.get("arena", ("",) * 2)[1] == _STRICT:
            item.add_marker(pytest.mark.slow)
