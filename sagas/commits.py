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
        self._connection = connection
        self._committed = self._lost = self._released = False
        #: The innermost savepoint that the work is in.
        self._around = connection.get_nested_transaction()
        reactions: dict[str, Callable[..., None]] = {
            "savepoint": self._savepoint_begins,
            "release_savepoint": self._savepoint_ends,
            "rollback_savepoint": self._savepoint_rolls_back,
            "commit": self._commits,
            "commit_twophase": self._commits,
            "rollback": self._rolls_back,
            "rollback_twophase": self._rolls_back,
        }
        for name, react in reactions.items():
            # On the connection itself: the engine is the caller's, and so are its events.
            event.listen(connection, name, react)

    def end(self) -> bool:
        """Roll back what is still open, and tell whether the work was committed."""
        if self.transaction.is_active:
            # Nobody else will end it, and its locks would keep the next attempt waiting. Where it
            # cannot be rolled back from here, its connection is lost, which does the same.
            with suppress(Exception):
                self.transaction.rollback()
            return False
        return self._committed and not self._lost

    def _is_current(self) -> bool:
        return self._connection.get_transaction() is self.transaction

    def _look(self) -> None:
        # Events come before what they announce: after a release the next one sees what is around.
        if self._released:
            self._around = self._connection.get_nested_transaction()
            self._released = False

    def _savepoint_begins(self, *_: Any) -> None:
        self._look()

    def _savepoint_ends(self, *_: Any) -> None:
        self._look()
        nested = self._connection.get_nested_transaction()
        self._released = nested is not None and nested is self._around

    def _savepoint_rolls_back(self, *_: Any) -> None:
        self._look()
        nested = self._connection.get_nested_transaction()
        if self._is_current() and nested is not None and nested is self._around:
            self._lost = True

    def _commits(self, *_: Any) -> None:
        if self._is_current():
            self._committed = True

    def _rolls_back(self, *_: Any) -> None:
        if self._is_current():
            self._committed = False
