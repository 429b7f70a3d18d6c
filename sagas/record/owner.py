"""To which application a record belongs: the first one that uses it, by name.

A record serves one application. Another one, on another broker, would send the messages of sagas
that are not its own to workers that do not have their tasks.
"""

from sqlalchemy import Connection, select, update

from sagas.errors import WrongApplication
from sagas.record import tables as t

__all__ = ["claim_record", "require_own_record"]


def claim_record(connection: Connection, application: str) -> None:
    """Give the record to this application, unless it belongs to one; raises as below."""
    unclaimed = update(t.record).where(t.record.c.application.is_(None))
    connection.execute(unclaimed.values(application=application))
    require_own_record(connection, application)


def require_own_record(connection: Connection, application: str) -> bool:
    """Return whether the record belongs to this application, False where it belongs to none yet.

    Raises:
        WrongApplication: it belongs to another one.
    """
    owner = connection.execute(select(t.record.c.application)).scalar_one_or_none()
    if owner is not None and owner != application:
        raise WrongApplication(
            f"This record (saga_database_url) belongs to the application {owner!r}, and this one "
            f"is {application!r}: each would send the other's sagas to its own broker. Give this "
            "application a database of its own. If both are one application, with one broker, set "
            f"saga_namespace = {owner!r} here."
        )
    return owner is not None
