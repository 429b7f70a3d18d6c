"""The fields that a line of the engine's log about a saga carries, for logs in JSON."""

from uuid import UUID

from sagas.decision import SagaState

__all__ = ["log_fields", "of_saga"]


def log_fields(saga_id: UUID, **known: object) -> dict[str, object]:
    """Return the ``extra`` of a log record.

    *known*: ``saga`` (its name), ``key``, ``step``, ``operation``, ``attempt`` and ``epoch``, as
    far as they are known.
    """
    given = {name: value for name, value in known.items() if value is not None}
    return {"saga_id": str(saga_id), **given}


def of_saga(saga: SagaState, **more: object) -> dict[str, object]:
    """Return the ``extra`` of a log record about a saga that has been read."""
    return log_fields(saga.id, **{"saga": saga.name, "key": saga.key, "epoch": saga.epoch, **more})
