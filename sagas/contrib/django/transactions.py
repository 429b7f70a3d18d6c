"""Sagas and effects in the transaction of a Django connection."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.transaction import TransactionManagementError
from sqlalchemy.exc import DBAPIError

from sagas.client.handle import SagaHandle
from sagas.client.saga import Saga
from sagas.context import Context
from sagas.contrib.django.joined import join, join_shared
from sagas.hidden import Sealed

__all__ = ["once", "start", "start_many"]

I = TypeVar("I")  # noqa: E741 - the input
T = TypeVar("T")


def start(
    saga: Saga[I],
    input: I,
    *,
    key: str | None = None,
    using: str = DEFAULT_DB_ALIAS,
    delay: float | timedelta | None = None,
    app: Celery | None = None,
) -> SagaHandle:
    """Start a saga in the transaction of a Django connection, and return its handle.

    Inside ``transaction.atomic()`` the saga commits or rolls back with it, and is published by
    ``transaction.on_commit``. Outside, it is committed and published here, as Django saves a model.

    Args:
        saga: the saga to start.
        input: as for ``Saga.start``.
        key: as for ``Saga.start``.
        using: the alias of the database that has the record.
        delay: as for ``Saga.start``.
        app: as for ``Saga.start``.

    Raises:
        WrongDatabase: the alias is another database than the record's; no row was written.
        django.db.transaction.TransactionManagementError: the atomic block is broken already, or
            transactions are managed by hand.
        django.db.DatabaseError: the database refused, by a deadlock for instance.
        Exception: any other error of ``Saga.start``. Nothing was started, and an atomic block
            around this call may go on.
    """
    sealed = Sealed(input)
    del input  # a frame shows its arguments too
    with _atomic(using):
        return saga.start(sealed.value, key=key, session=join(using), delay=delay, app=app)


def start_many(
    saga: Saga[I],
    sagas: Iterable[tuple[I, str | None]],
    *,
    using: str = DEFAULT_DB_ALIAS,
    delay: float | timedelta | None = None,
    app: Celery | None = None,
) -> list[SagaHandle]:
    """Start several sagas, each an input and a key: all or, if one raises, none.

    Otherwise as ``start``.
    """
    sealed = Sealed(sagas)
    del sagas  # a frame shows its arguments too
    with _atomic(using):
        return saga.start_many(sealed.value, session=join(using), delay=delay, app=app)


def once(
    ctx: Context,
    function: Callable[[], T],
    *,
    using: str = DEFAULT_DB_ALIAS,
    returns: type[T] | None = None,
) -> T:
    """Run *function* so that its effect happens once, in the transaction of a Django connection.

    What it does with Django's models, on the database *using*, commits together with the barrier's
    row: at once, or with the ``transaction.atomic()`` around this call. Otherwise as ``ctx.once``.

    Raises:
        HangingAction: this action came after its own compensation; it had no effect.
        BarrierError: it was called twice in one transaction, or the table is missing: put
            ``"sagas.contrib.django"`` into INSTALLED_APPS and run ``manage.py migrate``.
        django.db.DatabaseError: the database refused.
    """
    with _atomic(using):
        return ctx.once(join_shared(using), function, returns=returns)


@contextmanager
def _atomic(using: str) -> Iterator[None]:
    """Open an atomic block; SQLAlchemy's errors of the driver leave it as Django's."""
    django = connections[using]
    if not django.in_atomic_block and not django.get_autocommit():
        raise TransactionManagementError(
            f"Autocommit is off on the connection {using!r}, so Django does not tell when it "
            "commits. Use transaction.atomic() in place of set_autocommit(False)."
        )
    with transaction.atomic(using=using), django.wrap_database_errors:
        try:
            yield
        except DBAPIError as error:
            if error.orig is None:
                raise
            raise error.orig from error
