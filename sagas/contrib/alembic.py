"""Alembic in an application whose database has the record: it leaves our tables alone."""

from typing import Any

from sagas import barrier
from sagas.record.migrate import VERSION_TABLE
from sagas.record.tables import metadata

__all__ = ["include_object"]

_OURS = {*metadata.tables, *barrier.metadata.tables, VERSION_TABLE}


def include_object(
    _: Any,
    name: str | None,
    type_: str,
    reflected: bool,  # noqa: FBT001 - alembic passes it so
    compare_to: Any,
) -> bool:
    """Keep a table of sagas out of ``alembic revision --autogenerate``, which would drop it.

    Pass it to ``context.configure(include_object=…)``, or call it in your own. It leaves out the
    record's tables and the barrier's where only the database has them: a table that your metadata
    has, of whatever name, is compared as usual.
    """
    only_in_database = reflected and compare_to is None
    return not (only_in_database and type_ == "table" and name in _OURS)
