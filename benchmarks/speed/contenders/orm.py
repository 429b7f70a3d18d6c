"""A chain, and a record written by hand with SQLAlchemy's ORM: a transaction a step."""

import os
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import BigInteger, String, Text, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks.speed.contenders.celery_app import make_app
from benchmarks.speed.contenders.chains import chain_of
from benchmarks.speed.place import FIRST, LAST, Order, here

__all__ = ["app", "prepare", "recorded", "start"]


class _Base(DeclarativeBase):
    pass


class _Booking(_Base):
    __tablename__ = "booking"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    note: Mapped[str] = mapped_column(Text)
    step: Mapped[int]
    status: Mapped[str] = mapped_column(String(20))
    updated_at: Mapped[datetime]


def prepare() -> None:
    """Create the record."""
    _Base.metadata.create_all(_sessions(os.getpid()).kw["bind"])


def start(order: Order) -> None:
    """Insert the saga, then publish its chain."""
    booking = _Booking(
        number=order["number"],
        note=order["note"],
        step=-1,
        status="STARTED",
        updated_at=datetime.now(UTC).replace(tzinfo=None),
    )
    with _sessions(os.getpid()).begin() as session:
        session.add(booking)
    _publish(order)


def recorded() -> int:
    """Count the sagas that have ended."""
    step, status = (FIRST, "UNDONE") if here().refuses else (LAST, "DONE")
    query = select(func.count()).where(_Booking.step == step, _Booking.status == status)
    with _sessions(os.getpid())() as session:
        return session.scalars(query).one()


def _write(number: int, index: int, status: str) -> None:
    with _sessions(os.getpid()).begin() as session:
        booking = session.get_one(_Booking, number)
        booking.step, booking.status = index, status
        booking.updated_at = datetime.now(UTC).replace(tzinfo=None)


@cache
def _sessions(pid: int) -> sessionmaker[Session]:
    del pid  # an engine belongs to the process that made it
    return sessionmaker(create_engine(here().record_url))


app = make_app()
_publish = chain_of(app, _write)
