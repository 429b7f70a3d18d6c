"""Whether a transaction that belongs to a step was committed: followed by SQLAlchemy's events."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Followed"]


class Followed:
    """A transaction in which ``ctx.once`` did its work, from then until the step returns.

    A savepoint that was there before and is rolled back takes the work with it, even where the
    transaction is committed.
    """

    def __init__(self, connection: Connection, transaction: Transaction) -> None:
        self.transaction = transaction
        self.committed = False
        self._lost = False
        self._later_savepoints: set[str] = set()
        self._connection = connection
        reactions: dict[str, Callable[..., None]] = {
            "savepoint": self._began_savepoint,
            "rollback_savepoint": self._rolled_back_savepoint,
            "commit": self._commits,
            "commit_twophase": self._commits,
            "rollback": self._rolls_back,
            "rollback_twophase": self._rolls_back,
        }
        for name, react in reactions.items():
            # On the connection itself: it is the caller's, and so is its engine.
            event.listen(connection, name, react)

    def end(self) -> bool:
        """Roll back what is still open, and tell whether the work was committed."""
        if self.transaction.is_active:
            # Nobody else will end it, and its locks would keep the next attempt waiting. Where it
            # cannot be rolled back from here, its connection is lost, which does the same.
            with suppress(Exception):
                self.transaction.rollback()
            return False
        return self.committed and not self._lost

    def _is_current(self) -> bool:
        return self._connection.get_transaction() is self.transaction

    def _began_savepoint(self, _: Connection, name: str) -> None:
        if self._is_current():
            self._later_savepoints.add(name)

    def _rolled_back_savepoint(self, _: Connection, name: str, __: Any) -> None:
        if self._is_current() and name not in self._later_savepoints:
            self._lost = True

    def _commits(self, *_: Any) -> None:
        if self._is_current():
            self.committed = True

    def _rolls_back(self, *_: Any) -> None:
        if self._is_current():
            self.committed = False
