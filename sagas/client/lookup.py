"""Finding sagas of any name in the record of the current app."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sagas.client.handle import SagaHandle
from sagas.errors import SagaNotFound
from sagas.record import migrate, queries
from sagas.record.queries import SagaView
from sagas.runtime.app import runtime_of
from sagas.states import SagaStatus

__all__ = ["count_by_status", "find", "get", "upgrade_record"]


def get(saga_id: UUID | str) -> SagaHandle:
    """Return the saga with this id; raises SagaNotFound."""
    try:
        handle = SagaHandle(runtime_of(), UUID(str(saga_id)))
    except ValueError:
        raise SagaNotFound(f"{saga_id!r} is not a saga id: give a UUID.") from None
    handle.describe()
    return handle


def find(
    *,
    name: str | None = None,
    key: str | None = None,
    status: SagaStatus | None = None,
    limit: int = 50,
) -> Sequence[SagaView]:
    """Return the sagas that match everything given, the newest first, at most *limit*."""
    return runtime_of().database.read(
        lambda c: queries.find_sagas(c, name=name, key=key, status=status, limit=limit)
    )


def count_by_status() -> Mapping[SagaStatus, int]:
    """Return the number of sagas by status; a status without sagas is left out."""
    return runtime_of().database.read(queries.count_by_status)


def upgrade_record() -> None:
    """Create the record's tables or upgrade them to this version, as ``sagas db upgrade`` does.

    For programs that set themselves up. It is safe to repeat; if several processes run it at the
    same time, one does the work and the others wait.
    """
    migrate.upgrade(runtime_of().database)
