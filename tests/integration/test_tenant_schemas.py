"""A tenant has a schema of its own: the record is in one schema, and sagas join all the same."""

from collections.abc import Iterator

import pytest
from celery import Celery
from celery import _state as celery_state
from sqlalchemy import (
    Column,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session

import sagas
from sagas import Reuse, WrongDatabase
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.migrate import upgrade
from sagas.record.place import place_of
from sagas.runtime.app import Runtime, runtime_of
from tests.integration.outbox import Outbox
from tests.support.records import count
from tests.support.shop import Order, order_saga

business = MetaData()
visits = Table("visits", business, Column("id", String(20), primary_key=True))


@pytest.fixture
def tenant(database_url: str, app: Celery) -> Iterator[Engine]:
    """Return an engine on the record's PostgreSQL, where a tenant has a schema."""
    assert app
    engine = create_engine(database_url)
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has schemas within a database")
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA tenant_7"))
    in_tenant = engine.execution_options(schema_translate_map={None: "tenant_7"})
    business.create_all(in_tenant)
    yield engine
    engine.dispose()


def by_map(engine: Engine) -> Engine:
    return engine.execution_options(schema_translate_map={None: "tenant_7"})


def by_path(engine: Engine) -> Engine:
    made = create_engine(engine.url)

    @event.listens_for(made, "connect")
    def set_path(connection: object, _: object) -> None:
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute("SET search_path TO tenant_7")
        connection.commit()  # type: ignore[attr-defined]

    return made


WAYS = {"schema_translate_map": by_map, "search_path": by_path}


@pytest.mark.parametrize("way", WAYS)
def test_a_saga_joins_a_tenants_transaction(
    way: str, tenant: Engine, database: Database, outbox: Outbox
) -> None:
    engine = WAYS[way](tenant)
    with Session(engine) as session:
        session.execute(insert(visits).values(id="V-1"))
        handle = order_saga.start(Order(), key="V-1", session=session)
        session.execute(insert(visits).values(id="V-2"))  # in the tenant's schema as before
        session.commit()
    assert outbox.of(handle.id) == ["shop.reserve"]
    assert order_saga.get(key="V-1").id == handle.id
    handle.cancel(reason="…")
    with Session(engine) as session:
        rolled_back = order_saga.start(
            Order(), key="V-1", session=session, reuse=Reuse.AFTER_COMPENSATED
        )
        many = order_saga.start_many([(Order(), "V-3"), (Order(), "V-4")], session=session)
        assert all(started.created for started in (rolled_back, *many))
        session.rollback()
    assert order_saga.get(key="V-1").id == handle.id
    assert count(database, t.saga) == 1
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(visits)) == 2
    engine.dispose()


def test_a_record_of_the_tenant_itself_is_not_taken_for_the_applications(
    tenant: Engine, database: Database
) -> None:
    theirs = Database(tenant.url, options={"connect_args": {"options": "-c search_path=tenant_7"}})
    upgrade(theirs)
    engine = by_path(tenant)
    with Session(engine) as session, session.begin():
        order_saga.start(Order(), key="V-1", session=session)
    assert (count(database, t.saga), count(theirs, t.saga)) == (1, 0)
    theirs.dispose()
    engine.dispose()


def test_the_record_may_be_in_a_schema_of_its_own(tenant: Engine, database_url: str) -> None:
    with tenant.begin() as connection:
        connection.execute(text("CREATE SCHEMA engine_room"))
    own = Database(
        database_url, options={"connect_args": {"options": "-c search_path=engine_room"}}
    )
    upgrade(own)
    assert own.read(place_of).schema == "engine_room"
    with tenant.connect() as connection:
        names = text("SELECT tablename FROM pg_tables WHERE schemaname = 'engine_room'")
        made = set(connection.scalars(names))
    assert {*t.metadata.tables, "saga_alembic_version"} <= made
    own.dispose()


def test_a_session_of_another_path_joins_a_record_in_a_schema_of_its_own(
    tenant: Engine, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant.begin() as connection:
        connection.execute(text("CREATE SCHEMA engine_room"))
    other = Celery("other", broker="memory://", set_as_current=False)
    other.conf.saga_database_url = database_url
    other.conf.saga_database_options = {"connect_args": {"options": "-c search_path=engine_room"}}
    monkeypatch.setattr(celery_state._tls, "current_app", other)  # noqa: SLF001
    sagas.setup(other)
    sagas.upgrade_record()
    with Session(tenant) as session, session.begin():  # which sees the record in public
        handle = order_saga.start(Order(), key="V-1", session=session)
    assert order_saga.get(key="V-1").id == handle.id
    assert count(database, t.saga) == 0
    runtime_of(other).database.dispose()
    other.close()


def test_a_user_without_rights_in_the_records_schema_learns_what_is_missing(
    tenant: Engine, runtime: Runtime, database: Database
) -> None:
    with tenant.begin() as connection:
        connection.execute(text("CREATE ROLE tenant_user_7"))
        connection.execute(text("GRANT ALL ON SCHEMA tenant_7 TO tenant_user_7"))
    assert runtime_of(runtime.app) is runtime
    try:
        with Session(by_map(tenant)) as session:
            session.execute(text("SET LOCAL ROLE tenant_user_7"))
            with pytest.raises(WrongDatabase) as raised:
                order_saga.start(Order(), key="V-1", session=session)
            assert session.scalar(select(1)) == 1  # the transaction goes on
    finally:
        with tenant.begin() as connection:
            connection.execute(text("DROP OWNED BY tenant_user_7; DROP ROLE tenant_user_7"))
    said = str(raised.value)
    assert "the URL of the record (saga_database_url), but it does not see the record" in said
    assert "schema_translate_map = {None: 'tenant_7'}" in said
    assert "the record is in the schema 'public'" in said
    assert "its user 'tenant_user_7' needs USAGE on that schema" in said
    assert count(database, t.saga) == 0
