"""A door to a server that a test can close: a proxy that drops connections and refuses new ones."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from selectors import EVENT_READ, DefaultSelector
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Door", "door"]


@dataclass(slots=True)
class Door:
    """What stands between a client and its server; ``url`` is the server's, through the door."""

    url: str
    is_open: bool = True
    through: set[socket.socket] = field(default_factory=set)

    def slam(self) -> None:
        """Cut every connection, as a restart of the server does."""
        for visitor in tuple(self.through):
            with suppress(OSError):
                visitor.shutdown(socket.SHUT_RDWR)


@contextmanager
def door(url: str) -> Iterator[Door]:
    """Yield an open door to the server of a URL."""
    parts = urlsplit(url)
    there = (str(parts.hostname), parts.port or 0)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(50) as doormen:
        user = parts.netloc.rpartition("@")[0]
        address = f"{user}@127.0.0.1:{listener.getsockname()[1]}"
        made = Door(urlunsplit(parts._replace(netloc=address)))
        doormen.submit(_admit, doormen, listener, there, made)
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            made.slam()


def _admit(
    doormen: ThreadPoolExecutor, listener: socket.socket, there: tuple[str, int], door: Door
) -> None:
    with suppress(OSError):  # the door is taken away
        while True:
            visitor, _ = listener.accept()
            if door.is_open:
                door.through.add(visitor)
                doormen.submit(_lead, visitor, there, door)
            else:
                visitor.close()


def _lead(visitor: socket.socket, there: tuple[str, int], door: Door) -> None:
    with visitor, socket.create_connection(there) as server, DefaultSelector() as either:
        either.register(visitor, EVENT_READ, data=server)
        either.register(server, EVENT_READ, data=visitor)
        with suppress(OSError):
            while all(_carry(key.fileobj, key.data) for key, _ in either.select()):
                pass
        door.through.discard(visitor)


def _carry(source: object, target: socket.socket) -> bool:
    assert isinstance(source, socket.socket)
    piece = source.recv(65536)
    target.sendall(piece)
    return bool(piece)
