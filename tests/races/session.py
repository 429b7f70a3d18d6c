"""One side of a race: a transaction in its own thread that runs one statement at a time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext

from sagas.record.database import Database
from sagas.record.store import Store

__all__ = ["Move", "Session"]

#: After this time, a statement is checked for a lock that it waits for.
_MOMENT_S = 0.002


@dataclass(frozen=True)
class Move:
    """Something that is done to the database in one transaction.

    Attributes:
        name: what the report of a failed race calls it.
        run: makes the move. Its result is compared, and so is an exception of *loses_with*.
        passes_over: it skips locked rows, so it may find nothing while another move is at work,
            even if that move changes nothing in the end.
    """

    name: str
    run: Callable[[Store], Any]
    loses_with: tuple[type[Exception], ...] = ()
    passes_over: bool = False
    hastens: bool = False

    def made(self, store: Store) -> Any:
        """Make the move and return its answer."""
        try:
            return self.run(store)
        except self.loses_with as error:
            return type(error).__name__


class Session:
    """A store on its own connection; a move that it runs stops before every statement."""

    def __init__(self, name: str, database: Database, blocked: Callable[[int, int], bool]) -> None:
        self.name = name
        self.store = Store(database)
        self.finished = True
        self.answer: Any = None
        self.rival = self
        self.backend = 0
        self._blocked = blocked
        self._thread = threading.Thread()
        self._error: BaseException | None = None
        self._stopped, self._may_go = threading.Event(), threading.Semaphore(0)
        self._next = ""
        self._refused = self._free = False
        self._listen()

    def begin(self, move: Move) -> None:
        """Begin a move, which stops before its first statement."""
        self._stopped.clear()
        self._may_go = threading.Semaphore(0)
        self._error = self.answer = None
        self._refused = self._free = self.finished = False
        self._thread = threading.Thread(target=self._make, args=(move,), name=self.name)
        self._thread.start()

    def rests(self) -> bool:
        """Wait a moment; tell whether it has stopped before a statement or finished."""
        return self._stopped.wait(_MOMENT_S)

    @property
    def blocked(self) -> bool:
        """Whether it waits for a lock, or was refused a lock that is not free yet."""
        if self._stopped.is_set():
            return self._refused
        return self._blocked(self.backend, self.rival.backend)

    def go(self) -> str:
        """Let it run the statement at which it stopped; return that statement."""
        taken = self._next
        self._stopped.clear()
        self._may_go.release()
        return taken

    def may_try_again(self) -> None:
        """Note that the other transaction has ended and released its locks."""
        self._refused = False

    def end(self) -> None:
        """Let it run to its end; raise any exception that it raised."""
        self._free = True
        self._may_go.release()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _make(self, move: Move) -> None:
        try:
            self.answer = move.made(self.store)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread of the test
            self._error = error
        self.finished = True
        self._stopped.set()

    def _listen(self) -> None:
        engine = self.store.database.engine

        def before_statement(connection: Connection, _: Any, statement: str, *__: Any) -> None:
            info = getattr(connection.connection.dbapi_connection, "info", None)
            self.backend = info.backend_pid if info else 0
            self._stop(statement)

        def on_error(context: ExceptionContext) -> None:
            self._refused |= "database is locked" in str(context.original_exception)

        event.listen(engine, "before_cursor_execute", before_statement)
        event.listen(engine, "commit", lambda _: self._stop("COMMIT"))
        event.listen(engine, "rollback", lambda _: self._stop("ROLLBACK"))
        event.listen(engine, "handle_error", on_error)

    def _stop(self, statement: str) -> None:
        if threading.current_thread() is self._thread and not self._free:
            self._next = statement
            self._stopped.set()
            self._may_go.acquire()
