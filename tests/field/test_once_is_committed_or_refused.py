"""``ctx.once`` and the caller's transaction: a step that does not commit has not succeeded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import BaseModel, SecretStr
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session

from sagas import BarrierError, CompensationContext, Context, Retry, Saga, SagaStatus, barrier, step
from sagas.ids import uuid7
from sagas.payload import Payload
from sagas.states import Operation
from tests.support.in_process import application, run_all

metadata = MetaData()
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("what", String(40), nullable=False),
)
RETRY = Retry(max_attempts=2, wait_initial=0)

Work = Callable[[Context], Any]


class Participant:
    """The participant's database, and what its action does there."""

    engine: Engine
    work: Work


here = Participant()


class Order(BaseModel):
    id: str = "1"
    card: SecretStr = SecretStr("canary-4711")


@step(name="once.pay", retry=RETRY)
def pay(order: Order, ctx: Context) -> None:  # noqa: ARG001 - the engine passes the input
    here.work(ctx)


@pay.compensation(retry=RETRY)
def refund(order: Order, ctx: CompensationContext) -> None:  # noqa: ARG001 - likewise
    with here.engine.begin() as connection:
        ctx.once(connection, lambda: connection.execute(insert(ledger).values(what="paid back")))


@step(name="once.ship")
def ship(order: Order) -> None:
    """Ship it."""


@ship.compensation
def unship(order: Order) -> None:
    """Recall it."""


saga = Saga("once.order", input=Order, steps=[pay, ship])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with application(tmp_path) as made:
        here.engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
        metadata.create_all(here.engine)
        barrier.create_tables(here.engine)
        yield made
        here.engine.dispose()


def effect(session: Session | Connection) -> Callable[[], Any]:
    return lambda: session.execute(insert(ledger).values(what="paid"))


def lines(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(ledger.c.what).order_by(ledger.c.id)))


def uncommitted_session(ctx: Context) -> None:
    with Session(here.engine) as session:
        ctx.once(session, effect(session))


def session_left_open(ctx: Context) -> None:
    session = Session(here.engine)
    ctx.once(session, effect(session))


def uncommitted_connection(ctx: Context) -> None:
    with here.engine.connect() as connection:
        ctx.once(connection, effect(connection))


def rolled_back(ctx: Context) -> None:
    with Session(here.engine) as session:
        ctx.once(session, effect(session))
        session.rollback()
        session.execute(text("SELECT 1"))
        session.commit()


def outer_transaction(ctx: Context) -> None:
    with here.engine.connect() as connection, connection.begin() as outer:
        connection.execute(text("BEGIN"))
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            ctx.once(session, effect(session))
            session.commit()
        outer.rollback()


def savepoint_rolled_back(ctx: Context) -> None:
    with here.engine.connect() as connection:
        connection.execute(text("BEGIN"))
        savepoint = connection.begin_nested()
        ctx.once(connection, effect(connection))
        savepoint.rollback()
        connection.commit()


def savepoint_within_rolled_back(ctx: Context) -> None:
    with here.engine.connect() as connection:
        connection.execute(text("BEGIN"))
        savepoint = connection.begin_nested()
        with connection.begin_nested():
            ctx.once(connection, effect(connection))
        connection.begin_nested().rollback()
        savepoint.rollback()
        connection.commit()


@pytest.mark.parametrize(
    "work",
    [
        savepoint_within_rolled_back,
        uncommitted_session,
        session_left_open,
        uncommitted_connection,
        rolled_back,
        outer_transaction,
        savepoint_rolled_back,
    ],
)
def test_a_step_that_did_not_commit_has_not_succeeded(app: Celery, work: Work) -> None:
    here.work = work
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPENSATED
    assert lines(here.engine) == []
    error = handle.steps()[0].error
    assert error is not None
    assert error["type"] == "BarrierError"
    assert "Step once.pay" in error["message"]
    assert "without having committed the session or connection" in error["message"]


def committed_session(ctx: Context) -> None:
    with Session(here.engine) as session, session.begin():
        ctx.once(session, effect(session))


def committed_by_hand(ctx: Context) -> None:
    session = Session(here.engine)
    ctx.once(session, effect(session))
    session.commit()
    session.close()


def later_savepoint_rolled_back(ctx: Context) -> None:
    with here.engine.connect() as connection:
        connection.execute(text("BEGIN"))
        ctx.once(connection, effect(connection))
        connection.begin_nested().rollback()
        connection.commit()


@pytest.mark.parametrize(
    "work", [committed_session, committed_by_hand, later_savepoint_rolled_back]
)
def test_a_step_that_committed_has_succeeded(app: Celery, work: Work) -> None:
    here.work = work
    handle = saga.start(Order())
    run_all(app)
    assert handle.status is SagaStatus.COMPLETED
    assert lines(here.engine) == ["paid"]


def context(declared: Any, operation: Operation = Operation.ACTION, **more: Any) -> Context:
    values = {"saga_id": SAGA, "key": "K", "step": "once.pay", "attempt": 1, **more}
    return Context(operation=operation, _result_type=Payload(declared), **values)


SAGA = uuid7()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    metadata.create_all(made)
    barrier.create_tables(made)
    yield made
    made.dispose()


@pytest.mark.parametrize("of", ["engine", "connection"])
def test_a_connection_in_autocommit_is_refused_and_leaves_no_row(engine: Engine, of: str) -> None:
    if of == "engine":
        made = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    else:
        made = engine.execution_options(isolation_level="AUTOCOMMIT")
    with (
        made.connect() as connection,
        pytest.raises(BarrierError, match=r"once\.pay .* AUTOCOMMIT"),
    ):
        context(None).once(connection, effect(connection))
    if of == "engine":
        made.dispose()
    assert lines(engine) == []
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(barrier.table)) == 0
        context(None).once(connection, effect(connection))
    assert lines(engine) == ["paid"]


def test_a_row_committed_before_the_function_returned_is_an_error_and_never_a_result(
    engine: Engine,
) -> None:
    def breaks() -> None:
        raise OSError("in the middle")

    connection = engine.connect()
    try:
        context(None).once(connection, breaks)
    except OSError:
        pass
    finally:
        connection.commit()
        connection.close()
    with engine.begin() as again, pytest.raises(BarrierError) as raised:
        context(None, attempt=2).once(again, effect(again))
    assert f"once.pay (saga {SAGA})" in str(raised.value)
    assert "committed before the function of ctx.once() had returned" in str(raised.value)
    assert lines(engine) == []


def test_repeating_an_undo_that_found_nothing_is_no_error(
    engine: Engine,
) -> None:
    for attempt in (1, 2):
        with engine.begin() as connection:
            ctx = context(int, Operation.COMPENSATION, attempt=attempt)
            assert ctx.once(connection, effect(connection)) is None


class Payment(BaseModel):
    amount: int


class Seat(BaseModel):
    row: int


def seat() -> Seat:
    return Seat(row=4)


@pytest.mark.parametrize(
    ("declared", "function", "returns", "result"),
    [
        (Payment, lambda: 5, None, 5),
        (Payment, lambda: {"a": [1, None]}, None, {"a": [1, None]}),
        (Payment, lambda: {"amount": 4}, None, Payment(amount=4)),
        (Payment, seat, None, Seat(row=4)),
        (Payment, lambda: Seat(row=4), Seat, Seat(row=4)),
        (None, seat, None, Seat(row=4)),
        (None, lambda: 5, None, 5),
        (None, object, None, None),
        (None, lambda: Seat(row=4), None, None),
        (Any, lambda: "x", None, "x"),
    ],
    ids=range(10),
)
def test_a_result_of_any_type_is_stored_and_returned_again(
    engine: Engine, declared: Any, function: Callable[[], Any], returns: Any, result: Any
) -> None:
    for attempt in (1, 2):
        with engine.begin() as connection:
            ctx = context(declared, attempt=attempt)
            assert ctx.once(connection, function, returns=returns) == result


@pytest.mark.parametrize("declared", [Payment, Any, int])
def test_the_error_about_a_result_that_cannot_be_stored_names_once_the_step_and_the_remedy(
    engine: Engine, declared: Any
) -> None:
    with pytest.raises(BarrierError) as raised, engine.begin() as connection:
        context(declared).once(connection, effect(connection))
    assert "Step once.pay called ctx.once()" in str(raised.value)
    assert "CursorResult" in str(raised.value)
    assert "returns=" in str(raised.value)
    assert lines(engine) == []
