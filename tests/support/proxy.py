"""A door to a server that a test can close, cut, slow down or silence: a small TCP proxy."""

import asyncio
import socket
import threading
from asyncio.trsock import TransportSocket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.support.waiting import HANG_S

__all__ = ["Door", "door"]

#: How a PostgreSQL client asks for a commit in the simple protocol.
_COMMIT = b"COMMIT\0"

_LOOK_S = 0.02

T = TypeVar("T")

#: What is read from one end of a connection, and written to it.
_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Door:
    """A proxy between a client and its server; ``url`` is the server's URL through the door.

    Other threads control it: each attribute may be set at any time.

    ``there``: the server that new connections are led to. ``is_open``: whether they are let in.
    ``turned_away``: how many found it closed.
    ``delay_s``: how long each piece of data is held up.
    ``silent``: nothing is carried in either direction and nobody is told: half-open.
    ``lose_commits``: this many times, a COMMIT is carried to the server, but the connection is cut
    before the reply is carried back.
    """

    url: str
    there: tuple[str, int]
    is_open: bool = True
    turned_away: int = 0
    delay_s: float = 0.0
    silent: bool = False
    lose_commits: int = 0
    _through: set[TransportSocket] = field(default_factory=set)

    def slam(self) -> None:
        """Cut every connection, as a restart of the server does."""
        for visitor in tuple(self._through):
            with suppress(OSError):
                visitor.shutdown(socket.SHUT_RDWR)

    async def lead(self, visitor: _Ends) -> None:
        """Carry everything between a visitor and the server until one of them is gone."""
        own: TransportSocket = visitor[1].get_extra_info("socket")
        if not self.is_open:
            self.turned_away += 1
            visitor[1].close()
            return
        self._through.add(own)
        try:
            server = await asyncio.open_connection(*self.there)
            try:
                await self._carry(visitor, server)
            finally:  # also when the door itself is removed
                server[1].close()
        except OSError:  # the server is away, and the visitor sees that too
            pass
        finally:
            self._through.discard(own)
            visitor[1].close()

    async def _carry(self, visitor: _Ends, server: _Ends) -> None:
        passage = _Passage(self)
        ways = [
            asyncio.ensure_future(passage.carry(visitor[0], server[1], asks=True)),
            asyncio.ensure_future(passage.carry(server[0], visitor[1], asks=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


@dataclass(slots=True)
class _Passage:
    """One connection through a door."""

    door: Door
    loses_reply: bool = False

    async def carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, asks: bool
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                if self.door.delay_s:
                    await asyncio.sleep(self.door.delay_s)
                await self._until_heard()
                if asks and self.door.lose_commits > 0 and _COMMIT in piece:
                    self.door.lose_commits -= 1
                    self.loses_reply = True
                elif self.loses_reply:
                    return  # the reply has arrived, so the server has committed
                target.write(piece)
                await target.drain()

    async def _until_heard(self) -> None:
        while self.door.silent:  # noqa: ASYNC110 - it is set by other threads
            await asyncio.sleep(_LOOK_S)


@contextmanager
def door(url: str) -> Iterator[Door]:
    """Yield an open door to the server of a URL."""
    parts = urlsplit(url)
    there = (str(parts.hostname), parts.port or 0)
    with socket.create_server(("127.0.0.1", 0)) as listener, _loop() as loop:
        user = parts.netloc.rpartition("@")[0]
        address = f"{user}@127.0.0.1:{listener.getsockname()[1]}"
        made = Door(urlunsplit(parts._replace(netloc=address)), there)

        leads = set()

        def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Our own task: those of asyncio complain when they are cancelled.
            task = asyncio.ensure_future(made.lead((reader, writer)))
            leads.add(task)
            task.add_done_callback(leads.discard)

        server = _run(loop, asyncio.start_server(lead, sock=listener))
        try:
            yield made
        finally:
            loop.call_soon_threadsafe(server.close)
            _run(loop, _end(leads))


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield an event loop that runs in its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="doorkeeper", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=HANG_S)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
