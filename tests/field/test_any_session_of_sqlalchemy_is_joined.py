"""What frameworks call a session: Flask's scoped one is joined, and what cannot be is refused."""

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from sagas import ConfigurationError, barrier
from sagas.record import tables as t
from sagas.runtime.app import Runtime
from sagas.testing import action_context
from tests.field.database_shop import Order, order, reserve


def started(runtime: Runtime) -> int:
    return runtime.database.read(lambda c: c.scalar(select(func.count()).select_from(t.saga))) or 0


def test_a_scoped_session_is_joined_as_the_session_behind_it(runtime: Runtime) -> None:
    engine = create_engine(str(runtime.database.url))
    session = scoped_session(sessionmaker(engine))
    order.start(Order(id="1"), session=session)
    session.rollback()
    assert started(runtime) == 0
    order.start(Order(id="1"), session=session)
    session.commit()
    assert started(runtime) == 1
    barrier.create_tables(engine)
    ctx = action_context(reserve)
    assert ctx.once(session, lambda: "R-1") == "R-1"
    session.commit()
    session.remove()
    engine.dispose()


def test_an_asynchronous_session_is_refused_with_the_way_to_pass_it_on(runtime: Runtime) -> None:
    async def start() -> None:
        engine = create_async_engine(
            str(runtime.database.url).replace("sqlite", "sqlite+aiosqlite")
        )
        async with AsyncSession(engine) as session:
            given: Any = session
            with pytest.raises(ConfigurationError, match=r"AsyncSession.*run_sync"):
                order.start(Order(id="1"), session=given)
            await session.run_sync(lambda session: order.start(Order(id="2"), session=session))
            await session.commit()
        await engine.dispose()

    asyncio.run(start())
    assert started(runtime) == 1


def test_a_connection_of_another_library_is_refused(runtime: Runtime) -> None:
    connection: Any = sqlite3.connect(":memory:")
    with pytest.raises(ConfigurationError, match=r"sqlite3\.Connection.*Give a Session"):
        order.start(Order(id="1"), session=connection)
    with pytest.raises(ConfigurationError, match=r"ctx\.once\(\) in step database\.reserve"):
        action_context(reserve).once(connection, lambda: "R-1")
    connection.close()
    assert started(runtime) == 0
