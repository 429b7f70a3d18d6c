"""pgbouncer in transaction mode, on loopback, in front of a PostgreSQL server."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url

from sagas.dev import start_guarded
from tests.support.servers import PostgresServer, free_port
from tests.support.waiting import wait_until

__all__ = ["find_pgbouncer", "pgbouncer"]

_CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


def find_pgbouncer() -> str | None:
    """Return the program, or None if it is not installed."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin") or shutil.which("pgbouncer")


@contextmanager
def pgbouncer(server: str) -> Iterator[str]:
    """Yield the URL of a database through a pooler that shares four connections between clients."""
    target, listen_port = make_url(server), free_port()
    host = target.host or str(target.query["host"])
    with tempfile.TemporaryDirectory(prefix="sagas-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        config = directory / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                host=host,
                port=target.port or 5432,
                user=target.username,
                listen_port=listen_port,
            )
        )
        process = start_guarded(
            [str(find_pgbouncer()), config], log=directory / "log", user=_user(host)
        )
        url = _through(target, listen_port).render_as_string(hide_password=False)
        try:
            wait_until(lambda: process.poll() is not None or PostgresServer(url).answers())
            assert process.poll() is None, (directory / "log").read_text()
            yield url
        finally:
            process.communicate(b"stop\n")


def _through(target: URL, port: int) -> URL:
    return target.difference_update_query(["host"]).set(host="127.0.0.1", port=port)


def _user(host: str) -> str | None:
    """Return a user who may use the server's socket: pgbouncer refuses to run as root."""
    if os.geteuid():
        return None
    return Path(host).owner() if host.startswith("/") else "nobody"
