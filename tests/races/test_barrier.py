"""An action, its duplicate and its compensation at a participant at once, in every order."""

from itertools import combinations_with_replacement
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from sagas.barrier import once
from sagas.errors import HangingAction
from sagas.ids import uuid7
from sagas.record.store import Store
from sagas.states import Operation
from tests.races.arena import Arena, ledger
from tests.races.session import Move

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION
SAGA = uuid7()


def effect(operation: Operation) -> Move:
    def work(connection: Connection) -> Any:
        def write() -> str:
            connection.execute(insert(ledger).values(what=operation))
            return f"{operation} done"

        return once(
            connection, write, saga_id=SAGA, step="pay", operation=operation, dump=str, load=str
        )

    def run(store: Store) -> Any:
        return store.database.write(work)

    return Move(f"the {operation}", run, loses_with=(HangingAction,))


@pytest.mark.parametrize(
    "before", [(), (ACTION,), (COMPENSATION,), (ACTION, COMPENSATION)], ids=str
)
def test_an_effect_happens_once_and_never_after_it_was_undone(
    before: tuple[Operation, ...], arena: Arena
) -> None:
    for operation in before:
        effect(operation).made(arena.store)
    arena.keep()
    for one, other in combinations_with_replacement([effect(ACTION), effect(COMPENSATION)], 2):
        arena.pair(one, other)
