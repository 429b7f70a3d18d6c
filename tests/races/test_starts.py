"""Two transactions that start a saga at the same time, in every order."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from sagas.errors import KeyConflict
from sagas.record.new_sagas import insert_new
from sagas.record.starts import NewSaga, insert_sagas
from sagas.record.store import Store
from sagas.states import Reuse
from tests.races.arena import Arena
from tests.races.moves import TIMING
from tests.races.session import Move
from tests.support.records import new_saga, turned_back


def start(name: str, sagas: Sequence[NewSaga], reuse: Reuse = Reuse.NEVER) -> Move:
    def run(store: Store) -> Any:
        return store.database.write(
            lambda c: insert_sagas(c, store.plans, sagas, lease_s=TIMING.lease_s, reuse=reuse)
        )

    return Move(f"start {name}", run, loses_with=(KeyConflict,))


def start_at_once(name: str, sagas: Sequence[NewSaga]) -> Move:
    """Start sagas as an application does: in one statement, where all of them are new."""

    def insert(store: Store, connection: Connection) -> list[UUID]:
        lease_s = TIMING.lease_s
        if insert_new(connection, sagas, lease_s=lease_s, delay_s=0) is not None:
            return [new.id for new in sagas]
        return insert_sagas(connection, store.plans, sagas, lease_s=lease_s)

    def run(store: Store) -> Any:
        return store.database.write(lambda connection: insert(store, connection))

    return Move(f"start {name} at once", run, loses_with=(KeyConflict,))


OTHER_INPUT = start("T-1 with another input", [new_saga("T-1", input='{"seats": 2}')])


def test_the_first_of_two_starts_with_one_key_starts_the_saga(arena: Arena) -> None:
    arena.keep()
    moves = [start("T-1", [new_saga("T-1")]), OTHER_INPUT]
    for one, other in combinations_with_replacement(moves, 2):
        arena.pair(one, other)


def test_the_first_of_two_starts_in_one_statement_starts_the_saga(arena: Arena) -> None:
    start("T-0", [new_saga("T-0")]).made(arena.store)  # so that the plan is known
    arena.keep()
    arena.pair(start_at_once("T-1", [new_saga("T-1")]), OTHER_INPUT)


def test_none_of_many_sagas_is_started_if_one_key_is_taken(arena: Arena) -> None:
    start("T-0", [new_saga("T-0")]).made(arena.store)  # so that the plan is known
    arena.keep()
    arena.pair(start("T-1 and T-2", [new_saga("T-1"), new_saga("T-2")]), OTHER_INPUT)


def test_the_first_of_two_starts_takes_the_key_of_a_compensated_saga(arena: Arena) -> None:
    turned_back(arena.store, "T-1")
    arena.keep()
    again = [
        start("T-1 again", [new_saga("T-1", input='{"seats": 3}')], Reuse.AFTER_COMPENSATED),
        start("T-1 with 4", [new_saga("T-1", input='{"seats": 4}')], Reuse.AFTER_COMPENSATED),
    ]
    for one, other in combinations_with_replacement(again, 2):
        arena.pair(one, other)


def test_a_start_repeated_during_its_commit_starts_the_saga_once(
    arena: Arena,
) -> None:
    start("T-0", [new_saga("T-0")]).made(arena.store)
    arena.keep()
    skipping = start("T-1 skipping hotel", [new_saga("T-1", skipped=("hotel",))])
    arena.pair(skipping, skipping)
