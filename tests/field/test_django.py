"""Django: its transactions, its migrations, its databases and its commands."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from celery import Celery, signals
from sqlalchemy import create_engine, func, inspect, select
from sqlalchemy.exc import DBAPIError

from tests.field import django_databases as dj

dj.prepare()

from django.core.management import CommandError, call_command  # noqa: E402
from django.db import DatabaseError, connections, transaction  # noqa: E402
from django.db.transaction import TransactionManagementError  # noqa: E402

import sagas  # noqa: E402
from sagas import (  # noqa: E402
    BarrierError,
    ConfigurationError,
    HangingAction,
    KeyConflict,
    WrongDatabase,
    barrier,
)
from sagas.contrib.django import database_url, once, setup, start, start_many  # noqa: E402
from sagas.record import tables as t  # noqa: E402
from sagas.record.database import Database  # noqa: E402
from sagas.runtime.app import Runtime, runtime_of  # noqa: E402
from sagas.testing import action_context, compensation_context  # noqa: E402
from tests.field.database_shop import Order, order, reserve  # noqa: E402
from tests.support.waiting import wait_until, waits_for_lock  # noqa: E402

Make = Callable[..., Runtime]


@pytest.fixture
def shop(database_url: str, make_runtime: Make) -> Iterator[str]:
    """Return the alias of Django's database, which has the record, the barrier and a table."""
    make_runtime(database_url)
    engine = create_engine(database_url)
    barrier.create_tables(engine)
    engine.dispose()
    with dj.database("default", database_url) as alias:
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE shop_sale (id VARCHAR(40))")
        yield alias


def sell(name: str, alias: str = "default") -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("INSERT INTO shop_sale VALUES (%s)", [name])
    return f"sold {name}"


def sold() -> list[str]:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT id FROM shop_sale ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def started() -> int:
    return runtime_of().database.read(
        lambda c: c.scalar(select(func.count()).select_from(t.saga)) or 0
    )


# Starting


def test_the_order_and_its_saga_commit_together_and_the_saga_is_published_then(
    shop: str, published: list[str]
) -> None:
    with transaction.atomic():
        sell("1")
        handle = start(order, Order(id="1"), key="1")
        assert published == []
    assert published == ["database.reserve"]
    assert sold() == ["1"]
    assert handle.key == "1"
    assert not connections[shop].in_atomic_block


def test_an_order_that_is_rolled_back_leaves_no_saga(shop: str, published: list[str]) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        sell("1")
        start(order, Order(id="1"), key="1")
        start_many(order, [(Order(id="2"), "2"), (Order(id="3"), "3")])
        raise ZeroDivisionError
    with transaction.atomic():
        sell("2")
    assert published == []
    assert sold() == ["2"]
    assert started() == 0
    del shop


def test_a_savepoint_that_is_rolled_back_takes_its_saga_with_it(
    shop: str, published: list[str]
) -> None:
    with transaction.atomic():
        start(order, Order(id="1"), key="1")
        with suppress(ZeroDivisionError), transaction.atomic():
            start(order, Order(id="2"), key="2")
            raise ZeroDivisionError
    assert published == ["database.reserve"]
    assert started() == 1
    del shop


def test_a_start_outside_of_an_atomic_block_commits_and_publishes_at_once(
    shop: str, published: list[str]
) -> None:
    start(order, Order(id="1"), key="1")
    assert started() == 1
    assert published == ["database.reserve"]
    start_many(order, [(Order(id="2"), "2"), (Order(id="3"), "3")])
    assert started() == 3
    assert not connections[shop].in_atomic_block
    assert connections[shop].get_autocommit()


def test_a_refused_start_leaves_the_atomic_block_usable(shop: str, published: list[str]) -> None:
    with transaction.atomic():
        start(order, Order(id="1"), key="1")
        with pytest.raises(KeyConflict):
            start(order, Order(id="another"), key="1")
        with pytest.raises(KeyConflict):
            start_many(order, [(Order(id="2"), "2"), (Order(id="another"), "1")])
        sell("1")
    assert sold() == ["1"]
    assert started() == 1
    assert published == ["database.reserve"]
    del shop


def test_a_transaction_that_is_already_broken_starts_nothing(shop: str) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            start(order, Order(id="1"), key="1")
    assert started() == 0
    del shop


def test_a_start_on_an_alias_without_the_record_is_refused(
    shop: str, blank_database_url: str
) -> None:
    with dj.database("another", blank_database_url):
        with pytest.raises(WrongDatabase):
            start(order, Order(id="1"), using="another")
        assert connections["another"].is_usable()
    assert started() == 0
    del shop


def test_the_time_of_the_message_is_right_without_time_zones(shop: str) -> None:
    headers: list[float] = []

    def note(headers_: Any = None, **more: Any) -> None:
        headers.append((headers_ or more["headers"])["saga_sent_at"])

    _ = runtime_of().messages  # which stamps them, before they are noted
    signals.before_task_publish.connect(note)
    handle = start(order, Order(id="1"))
    signals.before_task_publish.disconnect(note)
    assert headers == [pytest.approx(handle.describe().started_at.timestamp(), abs=600)]
    del shop


def test_a_deadlock_is_an_error_of_django(server_url: str, make_runtime: Make) -> None:
    make_runtime(server_url, saga_lease_s=30)
    order.start(Order(id="0"), key="the plan is there")
    engine = create_engine(server_url)
    with dj.database("default", server_url), engine.connect() as other:

        def both() -> bool:
            try:
                with transaction.atomic():
                    start(order, Order(id="1"), key="1")
                    start(order, Order(id="2"), key="2")
            except DatabaseError:
                return False
            finally:
                connections.close_all()
            return True

        order.start(Order(id="2"), key="2", session=other)
        with ThreadPoolExecutor(1) as pool:
            theirs = pool.submit(both)
            wait_until(lambda: waits_for_lock(server_url), timeout_s=60)
            ours = False
            with suppress(DBAPIError):  # the database chooses which of the two to end
                order.start(Order(id="1"), key="1", session=other)
                other.commit()
                ours = True
            other.rollback()
            assert theirs.result(timeout=60) is not ours
    engine.dispose()


# The barrier


def test_an_effect_happens_once_and_commits_with_the_barrier(shop: str) -> None:
    ctx = action_context(reserve)
    for _ in range(2):
        assert once(ctx, lambda: sell("1")) == "sold 1"
    assert sold() == ["1"]
    ctx._require_commits()  # noqa: SLF001
    del shop


def test_an_effect_inside_of_an_atomic_block_commits_with_it(shop: str) -> None:
    ctx = action_context(reserve)
    with transaction.atomic():
        sell("0")
        once(ctx, lambda: sell("1"))
    ctx._require_commits()  # noqa: SLF001
    assert sold() == ["0", "1"]
    del shop


def test_an_effect_that_fails_leaves_neither_a_row_nor_a_broken_block(shop: str) -> None:
    ctx = action_context(reserve)
    with transaction.atomic():
        with suppress(ZeroDivisionError):
            once(ctx, lambda: f"{sell('1')} {1 / 0}")
        sell("2")
    assert sold() == ["2"]
    assert once(action_context(reserve, saga_id=ctx.saga_id), lambda: sell("3")) == "sold 3"
    del shop


def test_an_effect_that_is_rolled_back_is_no_success(shop: str) -> None:
    ctx = action_context(reserve)
    with suppress(ZeroDivisionError), transaction.atomic():
        once(ctx, lambda: sell("1"))
        raise ZeroDivisionError
    with pytest.raises(BarrierError, match="without having committed"):
        ctx._require_commits()  # noqa: SLF001
    assert sold() == []
    del shop


def test_two_effects_in_one_transaction_are_refused(shop: str) -> None:
    ctx = action_context(reserve)
    with transaction.atomic():
        once(ctx, lambda: sell("1"))
        with pytest.raises(BarrierError, match="twice in one transaction"):
            once(ctx, lambda: sell("2"))
    assert sold() == ["1"]
    del shop


def test_an_effect_in_another_database_needs_the_barrier_there(
    shop: str, blank_database_url: str
) -> None:
    with dj.database("ledger", blank_database_url):
        with pytest.raises(BarrierError, match="without the table saga_barrier"):
            once(action_context(reserve), lambda: "paid", using="ledger")
        call_command("migrate", "sagas", database="ledger", verbosity=0)
        ctx = action_context(reserve)
        assert once(ctx, lambda: "paid", using="ledger") == "paid"
        assert once(ctx, lambda: "again", using="ledger") == "paid"
        with connections["ledger"].cursor() as cursor:
            cursor.execute("SELECT step FROM saga_barrier")
            assert list(cursor.fetchall()) == [("database.reserve",)]
    del shop


def test_an_action_after_its_compensation_is_refused(shop: str) -> None:
    undo = compensation_context(reserve)
    once(undo, lambda: sell("undone"))
    with pytest.raises(HangingAction):
        once(action_context(reserve, saga_id=undo.saga_id), lambda: sell("1"))
    assert sold() == []
    del shop


def test_transactions_that_are_managed_by_hand_are_refused(shop: str) -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionManagementError, match=r"transaction\.atomic"):
            once(action_context(reserve), lambda: sell("1"))
        with pytest.raises(TransactionManagementError, match=r"transaction\.atomic"):
            start(order, Order(id="1"))
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert sold() == []
    assert started() == 0
    del shop


# Django's connection stays as it is


def test_the_connection_keeps_its_driver_connection_and_its_functions(shop: str) -> None:
    raw = connections[shop].connection
    start(order, Order(id="1"), key="1")
    once(action_context(reserve), lambda: sell("1"))
    assert connections[shop].connection is raw
    assert connections[shop].is_usable()
    if connections[shop].vendor == "sqlite":
        with connections[shop].cursor() as cursor:
            cursor.execute("SELECT NULL REGEXP 'a'")  # Django's own function bears it
            assert cursor.fetchone() == (None,)


# The record


@pytest.fixture
def bound(blank_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the alias of an empty database, which an app has set up for its record."""
    from celery import _state  # noqa: PLC0415

    monkeypatch.delenv("SAGAS_DATABASE_URL", raising=False)
    app = Celery("bound", broker="memory://", set_as_current=False)
    monkeypatch.setattr(_state._tls, "current_app", app)  # noqa: SLF001
    setup(app, using="default")
    with dj.database("default", blank_database_url) as alias:
        yield alias
        runtime_of(app).database.dispose()
    app.close()


def tables_of(alias: str) -> set[str]:
    made = Database(database_url(alias))
    found = set(inspect(made.engine).get_table_names())
    made.dispose()
    return found


def test_migrate_creates_the_barrier_and_the_record_and_goes_back(bound: str) -> None:
    call_command("migrate", verbosity=0)
    assert {"saga_barrier", "saga", "saga_history"} <= tables_of(bound)
    start(order, Order(id="1"), key="1")
    call_command("migrate", "sagas", "zero", verbosity=0)
    assert "saga_barrier" not in tables_of(bound)
    assert "saga" in tables_of(bound)
    call_command("migrate", verbosity=0)
    assert started() == 1


def test_a_barrier_that_is_there_already_is_accepted(bound: str) -> None:
    made = Database(database_url(bound))
    barrier.create_tables(made.engine)
    made.dispose()
    call_command("migrate", verbosity=0)
    assert once(action_context(reserve), lambda: "done") == "done"


def test_the_migration_can_be_read_as_sql_and_misses_nothing(bound: str) -> None:
    said = StringIO()
    call_command("sqlmigrate", "sagas", "0001", stdout=said)
    assert "CREATE TABLE IF NOT EXISTS saga_barrier" in said.getvalue()
    call_command("makemigrations", "sagas", check=True, verbosity=0)
    del bound


def test_the_commands_run_by_manage_py(bound: str) -> None:
    call_command("migrate", verbosity=0)
    start(order, Order(id="1"), key="ORD-1")
    said = StringIO()
    call_command("saga", "list", "--json", stdout=said)
    assert '"key": "ORD-1"' in said.getvalue()
    with pytest.raises(CommandError, match="no saga with the id or the key"):
        call_command("saga", "show", "nobody")
    with pytest.raises(CommandError, match="No such command"):
        call_command("saga", "lst")
    call_command("saga", stdout=said)
    assert "db" in said.getvalue()
    del bound


def test_a_setting_names_another_database_for_the_record(bound: str, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    runtime_of().app.conf.saga_database_url = url
    call_command("migrate", verbosity=0)
    assert runtime_of().settings.saga_database_url == url
    assert "saga" not in tables_of(bound)


# DATABASES


def test_the_address_has_what_the_driver_needs_and_nothing_of_django() -> None:
    entry = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": "me",
        "PASSWORD": "p@ss/word",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require", "pool": True, "server_side_binding": True},
    }
    with dj.database("far", "sqlite:///x", **entry):
        url = database_url("far")
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://me:p%40ss%2Fword@db.example:5433/shop?sslmode=require"
    )
    assert "word" not in repr(url)


def test_a_socket_and_certificates_are_options() -> None:
    mysql = {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "/run/mysqld.sock"}
    mysql["OPTIONS"] = {"charset": "utf8mb4", "ssl": {"ca": "/ca.pem"}, "isolation_level": "x"}  # type: ignore[assignment]
    with dj.database("far", "sqlite:///x", **mysql):
        query = database_url("far").query
    assert query == {
        "charset": "utf8mb4",
        "ssl_ca": "/ca.pem",
        "unix_socket": "/run/mysqld.sock",
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"OPTIONS": {"factory": object}}, "the option 'factory'"),
        ({"NAME": ":memory:"}, "in-memory database"),
        ({"NAME": "file:x?mode=memory&cache=shared"}, "in-memory database"),
    ],
)
def test_what_the_record_cannot_use_is_refused_by_name(entry: dict[str, Any], said: str) -> None:
    with (
        dj.database("odd", "sqlite:///x", **entry),
        pytest.raises(ConfigurationError, match=said) as raised,
    ):
        database_url("odd")
    assert "DATABASES['odd']" in str(raised.value)


def test_django_is_no_requirement() -> None:
    assert "sagas.contrib" not in vars(sagas)
    assert sys.modules["sagas"].__file__
