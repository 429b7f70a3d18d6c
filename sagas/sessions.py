"""What a caller may give as its session, and the connection of its transaction."""

import sys
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Connection

from sagas.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy.orm import Session, scoped_session

    #: A session of SQLAlchemy's, a scoped one as Flask has it, or a connection.
    AnySession: TypeAlias = "Session | scoped_session[Any] | Connection"

__all__ = ["connection_of"]


def connection_of(session: "AnySession", call: str) -> Connection:
    """Return the connection of a session's transaction, which begins if there is none yet.

    Raises:
        ConfigurationError: it is no session of SQLAlchemy's, or an asynchronous one; *call* names
            what was called, and nothing was done.
    """
    if isinstance(session, Connection):
        return session
    # Imported by whoever has such a session: an application without one need not load the ORM.
    orm = sys.modules.get("sqlalchemy.orm")
    if orm is not None and isinstance(session, orm.Session | orm.scoped_session):
        connection: Connection = session.connection()
        return connection
    kind = type(session)
    given = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.startswith("sqlalchemy.ext.asyncio"):
        raise ConfigurationError(
            f"{call} was given {given}, which is asynchronous. Nothing was done. Call it inside "
            "`await session.run_sync(lambda session: …)`, with the session that run_sync passes on."
        )
    raise ConfigurationError(
        f"{call} was given {given}. Nothing was done. Give a Session or a Connection of "
        "SQLAlchemy, whose transaction it joins."
    )
