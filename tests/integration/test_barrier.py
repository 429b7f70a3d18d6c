"""The barrier in a participant's own database."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from threading import Event
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from sagas import BarrierError, Context, HangingAction, StepFailed, barrier
from sagas.ids import uuid7
from sagas.payload import Payload
from sagas.states import Operation
from tests.support.waiting import HANG_S, wait_until, waits_for_lock

T = TypeVar("T")

metadata = MetaData()
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("what", String(40), nullable=False),
)

ACTION, COMPENSATION = Operation.ACTION, Operation.COMPENSATION


class Payment(BaseModel):
    amount: Decimal = Decimal("1.10")


@pytest.fixture
def engine(blank_database_url: str) -> Iterator[Engine]:
    """Return the participant's database."""
    yield from participant(blank_database_url)


@pytest.fixture
def server(server_url: str) -> Iterator[Engine]:
    """Return the participant's database on a server that locks rows."""
    yield from participant(server_url)


def participant(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    if made.dialect.name == "sqlite":  # a writer waits for its turn from the start
        event.listen(made, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(made, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    metadata.create_all(made)
    barrier.create_tables(made)
    yield made
    made.dispose()


SAGA = uuid7()


def context(operation: Operation = ACTION, **more: Any) -> Context:
    """Return the context of an attempt."""
    values = {"saga_id": SAGA, "key": "T-1", "step": "pay", "attempt": 1, **more}
    values.setdefault("_result_type", Payload(Payment if operation is ACTION else None))
    return Context(operation=operation, **values)


def effect(session: Any, what: str = "paid", result: T | None = None) -> Callable[[], T]:
    """Return a function that writes a row to the ledger."""

    def apply() -> Any:
        session.execute(insert(ledger).values(what=what))
        return Payment() if result is None else result

    return apply


def undo(session: Any) -> Callable[[], None]:
    def apply() -> None:
        session.execute(insert(ledger).values(what="paid back"))

    return apply


def lines(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(ledger.c.what).order_by(ledger.c.id)))


def pay(engine: Engine, **more: Any) -> Payment:
    with engine.begin() as connection:
        return context(**more).once(connection, effect(connection, result=Payment()))


def pay_back(engine: Engine, **more: Any) -> None:
    with engine.begin() as connection:
        context(COMPENSATION, **more).once(connection, undo(connection))


def test_an_effect_happens_once_and_repeats_return_its_result_with_the_same_type(
    engine: Engine,
) -> None:
    first, again = pay(engine), pay(engine, attempt=2)
    assert first == again == Payment(amount=Decimal("1.10"))
    assert isinstance(again, Payment)
    assert lines(engine) == ["paid"]


@pytest.mark.parametrize(
    ("returns", "result"),
    [(Decimal, Decimal("0.10")), (str, "seat 4"), (list[int], [1, 2]), (None, None), (bool, False)],
    ids=str,
)
def test_a_result_of_any_declared_type_is_returned_with_the_same_type(
    returns: Any, result: Any, engine: Engine
) -> None:
    for attempt in (1, 2):
        with engine.begin() as connection:
            ctx = context(attempt=attempt, _result_type=Payload(returns))
            found = ctx.once(connection, lambda: result)
            assert found == result
            assert type(found) is type(result)


def test_a_stored_result_that_does_not_match_the_declared_type_is_reported(engine: Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            found = context().once(connection, lambda: Decimal("0.10"), returns=Decimal)
            assert found == Decimal("0.10")
            assert isinstance(found, Decimal)


def test_an_effect_whose_result_cannot_be_stored_did_not_happen(engine: Engine) -> None:
    with pytest.raises(BarrierError, match=r"pay called ctx\.once.* a object"), engine.begin() as c:
        context().once(c, effect(c, result=object()))
    assert lines(engine) == []
    assert pay(engine) == Payment()


def test_other_sagas_steps_and_operations_have_their_own_barriers(engine: Engine) -> None:
    pay(engine)
    pay(engine, step="tip")
    pay(engine, saga_id=uuid7())
    pay_back(engine)
    assert lines(engine) == ["paid", "paid", "paid", "paid back"]


def test_a_compensation_undoes_once(engine: Engine) -> None:
    pay(engine)
    pay_back(engine)
    pay_back(engine, attempt=2)
    assert lines(engine) == ["paid", "paid back"]


def test_an_action_repeated_after_its_compensation_has_no_effect(engine: Engine) -> None:
    pay(engine)
    pay_back(engine)
    assert pay(engine) == Payment()  # what it returned the first time
    assert lines(engine) == ["paid", "paid back"]


def test_a_compensation_without_an_action_does_nothing_and_blocks_the_late_action(
    engine: Engine,
) -> None:
    pay_back(engine)
    assert lines(engine) == []
    with pytest.raises(HangingAction) as raised:
        pay(engine)
    assert lines(engine) == []
    assert "The action of pay came after its compensation had been accepted" in str(raised.value)
    assert str(SAGA) in str(raised.value)
    pay_back(engine)  # and stays blocked
    assert lines(engine) == []


def test_a_refusal_rolls_the_barrier_back_so_that_a_later_attempt_can_run(engine: Engine) -> None:
    def refuse() -> Payment:
        raise StepFailed("card declined", code="CARD_DECLINED")

    with pytest.raises(StepFailed), engine.begin() as connection:
        context().once(connection, refuse)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(barrier.table)) == 0
    assert pay(engine, attempt=2) == Payment()
    assert lines(engine) == ["paid"]


def test_an_effect_that_was_not_committed_did_not_happen(engine: Engine) -> None:
    with engine.connect() as connection:
        context().once(connection, effect(connection, result=Payment()))
        connection.rollback()
    assert lines(engine) == []
    pay(engine)
    assert lines(engine) == ["paid"]


@contextmanager
def begun_connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


@contextmanager
def connection_that_begins_by_itself(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
        connection.commit()


@contextmanager
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as made, made.begin():
        yield made


@contextmanager
def registry(engine: Engine) -> Iterator[Any]:
    made = scoped_session(sessionmaker(engine))
    yield made
    made.commit()
    made.remove()


Opened = Callable[[Engine], AbstractContextManager[Any]]
EVERY_KIND = pytest.mark.parametrize(
    "opened", [begun_connection, connection_that_begins_by_itself, session, registry]
)


@EVERY_KIND
def test_the_barrier_works_with_everything_that_runs_transactions(
    opened: Opened, engine: Engine
) -> None:
    for attempt in (1, 2):
        with opened(engine) as made:
            result = context(attempt=attempt).once(made, effect(made, result=Payment()))
            assert result == Payment()
    assert lines(engine) == ["paid"]


@EVERY_KIND
def test_using_it_twice_in_one_transaction_is_an_error_that_says_what_to_do(
    opened: Opened, engine: Engine
) -> None:
    ctx = context()
    with opened(engine) as made:
        ctx.once(made, effect(made, result=Payment()))
        with pytest.raises(BarrierError) as raised:
            ctx.once(made, effect(made, "twice", result=Payment()))
    assert "Step pay called ctx.once() twice in one transaction" in str(raised.value)
    assert "Put both effects in one function." in str(raised.value)
    assert lines(engine) == ["paid"]


@EVERY_KIND
def test_nesting_it_is_an_error(opened: Opened, engine: Engine) -> None:
    ctx = context()
    with opened(engine) as made:

        def outer() -> Payment:
            return ctx.once(made, effect(made, "inner", result=Payment()))

        with pytest.raises(BarrierError, match="twice in one transaction"):
            ctx.once(made, outer)
        made.rollback()
    assert lines(engine) == []


@EVERY_KIND
def test_using_it_again_in_a_transaction_in_which_it_failed_is_an_error(
    opened: Opened, engine: Engine
) -> None:
    # The barrier's row exists without the effect: a commit would make that permanent.
    def refuse() -> Payment:
        raise StepFailed("no stock in the north")

    ctx = context()
    with opened(engine) as made:
        with pytest.raises(StepFailed):
            ctx.once(made, refuse)
        with pytest.raises(BarrierError, match="twice in one transaction"):
            ctx.once(made, effect(made, "from the south", result=Payment()))
        made.rollback()
    assert lines(engine) == []


@EVERY_KIND
def test_one_attempt_may_use_it_in_consecutive_transactions(opened: Opened, engine: Engine) -> None:
    ctx = context()
    for _ in range(2):
        with opened(engine) as made:
            assert ctx.once(made, effect(made, result=Payment())) == Payment()
    assert lines(engine) == ["paid"]


@EVERY_KIND
def test_one_attempt_may_use_it_in_two_databases_at_once(
    opened: Opened, engine: Engine, server: Engine
) -> None:
    ctx = context()
    with opened(engine) as one, opened(server) as other:
        ctx.once(one, effect(one, result=Payment()))
        ctx.once(other, effect(other, result=Payment()))
    assert lines(engine) == lines(server) == ["paid"]


@EVERY_KIND
def test_a_missing_table_is_an_error_that_says_how_to_create_it(
    opened: Opened, engine: Engine
) -> None:
    barrier.metadata.drop_all(engine)
    with opened(engine) as made:
        with pytest.raises(BarrierError) as raised:
            context().once(made, effect(made, result=Payment()))
        made.rollback()
    assert "Step pay called ctx.once() on a database without the table saga_barrier" in str(
        raised.value
    )
    assert "sagas.barrier.create_tables(engine)" in str(raised.value)
    assert lines(engine) == []


def test_the_table_may_be_created_twice_and_over_a_connection(engine: Engine) -> None:
    pay(engine)
    with engine.begin() as connection:
        barrier.create_tables(connection)
    assert pay(engine) == Payment()
    assert lines(engine) == ["paid"]


def test_the_documented_migration_creates_the_same_table(engine: Engine) -> None:
    declared = {c["name"]: c["nullable"] for c in inspect(engine).get_columns("saga_barrier")}
    barrier.metadata.drop_all(engine)
    documented = (barrier.__doc__ or "").partition("::\n\n")[2].partition(";")[0]
    with engine.begin() as connection:
        connection.exec_driver_sql(documented)
    columns = {c["name"]: c["nullable"] for c in inspect(engine).get_columns("saga_barrier")}
    assert columns == declared
    assert inspect(engine).get_pk_constraint("saga_barrier")["constrained_columns"] == [
        "saga_id",
        "step",
        "operation",
    ]
    assert pay(engine) == pay(engine)
    assert lines(engine) == ["paid"]


def test_a_second_attempt_waits_for_the_first_and_gets_its_result(server: Engine) -> None:
    with ThreadPoolExecutor(1) as pool, server.connect() as first:
        context().once(first, effect(first, result=Payment(amount=Decimal(7))))
        second = pool.submit(pay, server, attempt=2)
        wait_until(lambda: waits_for_lock(url_of(server)), what="the second attempt waits")
        assert not second.done()
        first.commit()
        assert second.result(timeout=HANG_S) == Payment(amount=Decimal(7))
    assert lines(server) == ["paid"]


def test_a_second_attempt_runs_when_the_first_was_rolled_back(server: Engine) -> None:
    with ThreadPoolExecutor(1) as pool, server.connect() as first:
        context().once(first, effect(first, result=Payment(amount=Decimal(7))))
        second = pool.submit(pay, server, attempt=2)
        wait_until(lambda: waits_for_lock(url_of(server)), what="the second attempt waits")
        first.rollback()
        assert second.result(timeout=HANG_S) == Payment()
    assert lines(server) == ["paid"]


def test_a_compensation_waits_for_a_running_action_and_then_undoes_it(
    server: Engine,
) -> None:
    with ThreadPoolExecutor(1) as pool, server.connect() as first:
        context().once(first, effect(first, result=Payment()))
        undoing = pool.submit(pay_back, server)
        wait_until(lambda: waits_for_lock(url_of(server)), what="the compensation waits")
        first.commit()
        undoing.result(timeout=HANG_S)
    assert lines(server) == ["paid", "paid back"]


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_second_attempt_gets_the_result_even_if_it_started_reading_earlier(
    server: Engine,
) -> None:
    # A transaction may keep its first snapshot of the data, as it does on MariaDB by default.
    level = "REPEATABLE READ" if server.dialect.name != "postgresql" else "READ COMMITTED"
    with server.connect().execution_options(isolation_level=level) as late:
        assert not late.scalars(select(ledger.c.what)).all()
        pay(server)
        again = context(attempt=2).once(late, effect(late, "paid twice", Payment()))
    assert again == Payment()
    assert lines(server) == ["paid"]


def test_steps_whose_names_differ_only_in_case_or_a_space_are_different(engine: Engine) -> None:
    for name in ("pay", "Pay", "pay "):
        pay(engine, step=name)
    assert lines(engine) == ["paid"] * 3


def test_a_result_may_be_long(engine: Engine) -> None:
    result = "\N{SMILING FACE WITH SMILING EYES}" * 50_000
    for number in (1, 2):
        ctx = context(attempt=number, _result_type=Payload(str))
        with engine.begin() as connection:
            assert ctx.once(connection, effect(connection, result=result)) == result
    assert lines(engine) == ["paid"]


def test_of_two_simultaneous_attempts_one_has_the_effect_and_both_get_the_result(
    engine: Engine,
) -> None:
    ready = Event()

    def attempt(number: int) -> Payment:
        ready.wait(timeout=HANG_S)
        return pay(engine, attempt=number)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(attempt, number) for number in (1, 2)]
        ready.set()
        assert [one.result(timeout=HANG_S) for one in both] == [Payment(), Payment()]
    assert lines(engine) == ["paid"]
