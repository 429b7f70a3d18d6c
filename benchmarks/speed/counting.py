"""Proxies before PostgreSQL and Redis that count what passes: exact, whoever else is served."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Count", "PostgresReader", "RedisReader", "counted"]

_LENGTH = struct.Struct("!i")

#: What a client of PostgreSQL sends first when it would like encryption.
_ENCRYPTION = {struct.pack("!ii", 8, code) for code in (80877103, 80877104)}

#: The messages of a client that have a statement run: Query, and Execute of a prepared one.
_STATEMENTS = b"QE"

_PORTS = {"postgresql+psycopg": 5432, "redis": 6379}


class Count:
    """What has passed since the proxy was opened."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, *, requests: int = 0, size: int) -> None:
        """Count what one connection has carried."""
        with self._lock:
            self.requests += requests
            self.bytes += size


class _Reader(Protocol):
    def feed(self, piece: bytes) -> int:
        """Return how many requests a client has made with this piece of what it sends."""


class PostgresReader:
    """Counts the statements among a client's messages; the first message has no type."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_greeted = False

    def feed(self, piece: bytes) -> int:
        """Return how many statements end in this piece."""
        self._rest += piece
        found = 0
        while (size := self._size()) and len(self._rest) >= size:
            found += self._rest[:1] in _STATEMENTS
            self._has_greeted = True
            self._rest = self._rest[size:]
        return found

    def _size(self) -> int:
        """Return the size of the next message; 0 where it is not known yet."""
        before = 1 if self._has_greeted else 0
        if len(self._rest) < before + _LENGTH.size:
            return 0
        return before + int(_LENGTH.unpack_from(self._rest, before)[0])


class RedisReader:
    """Counts the commands that a client sends; each is an array of strings."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> int:
        """Return how many commands begin in this piece."""
        self._rest += piece
        found = 0
        while b"\r\n" in self._rest:
            line, _, after = self._rest.partition(b"\r\n")
            if line[:1] == b"*":
                found += 1
            else:
                end = int(line[1:]) + len(b"\r\n")
                if len(after) < end:
                    break
                after = after[end:]
            self._rest = after
        return found


@contextmanager
def counted(url: str) -> Iterator[tuple[str, Count]]:
    """Yield the URL of a proxy before a server, and what passes it.

    Raises:
        KeyError: it is neither PostgreSQL nor Redis.
    """
    parts = urlsplit(url)
    reader = RedisReader if parts.scheme == "redis" else PostgresReader
    there = (parts.hostname or "127.0.0.1", parts.port or _PORTS[parts.scheme])
    with _Proxy(there, reader) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        user, at, _ = parts.netloc.rpartition("@")
        netloc = f"{user}{at}127.0.0.1:{proxy.server_address[1]}"
        try:
            yield urlunsplit(parts._replace(netloc=netloc)), proxy.count
        finally:
            proxy.shutdown()
            thread.join()


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # its connections end with the clients

    def __init__(self, there: tuple[str, int], reader: Callable[[], _Reader]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.there = there
        self.reader = reader
        self.count = Count()


class _Connection(socketserver.BaseRequestHandler):
    """One connection of a client."""

    server: _Proxy
    request: socket.socket

    def handle(self) -> None:
        """Carry everything until one end hangs up."""
        with suppress(OSError), socket.create_connection(self.server.there) as server:
            answers = threading.Thread(target=self._answer, args=(server,), daemon=True)
            answers.start()
            self._ask(server)
            server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _ask(self, server: socket.socket) -> None:
        reader = self.server.reader()
        while piece := self.request.recv(65536):
            if piece in _ENCRYPTION:
                self.request.sendall(b"N")
                continue
            self.server.count.add(requests=reader.feed(piece), size=len(piece))
            server.sendall(piece)

    def _answer(self, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                self.server.count.add(size=len(piece))
                self.request.sendall(piece)
            self.request.shutdown(socket.SHUT_RDWR)
