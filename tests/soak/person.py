"""A person who looks after a soak: repairs what is parked, has it tried again, cancels a few."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

import sagas
from sagas import ActionDeclined, SagaStatus
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.sql import insert_if_absent
from tests.soak import app as soak
from tests.soak.tables import repaired

ROUND_S = 2.0


def look_after(record: Database) -> None:
    """Make one round; what cannot be done in this one is done in the next."""
    for parked in sagas.find(status=SagaStatus.FAILED, limit=100):
        soak.services.write(partial(_repair, saga_id=parked.id))
        _ask(sagas.get(parked.id).retry, note="repaired")
    for saga_id in record.read(_some_live):
        _ask(sagas.get(saga_id).cancel, reason="changed my mind")


def _ask(action: Callable[..., None], **words: str) -> None:
    try:
        action(**words)
    except ActionDeclined as why:  # it has shipped, or has moved meanwhile
        print(f"person: {why}", flush=True)


def _repair(connection: Connection, saga_id: UUID) -> None:
    insert_if_absent(connection, repaired, {"saga_id": str(saga_id)})


def _some_live(connection: Connection) -> Sequence[UUID]:
    live = select(t.saga.c.id).where(t.saga.c.status == SagaStatus.IN_PROGRESS)
    return connection.scalars(live.order_by(func.random()).limit(1)).all()


def main() -> None:
    """Make rounds for ever."""
    record = Database(soak.app.conf.saga_database_url)
    while True:
        time.sleep(ROUND_S)
        try:
            look_after(record)
        except DBAPIError as error:
            print(f"person: {type(error.orig).__name__}; later", flush=True)


if __name__ == "__main__":
    main()
