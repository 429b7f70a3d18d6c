"""The record's URL is copied from an application that runs on asyncio."""

import pytest

from sagas import ConfigurationError
from sagas.record.database import create_record_engine


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("postgresql+asyncpg://me:hunter2@here/x", "postgresql+psycopg://"),
        ("postgresql+psycopg_async://me:hunter2@here/x", "postgresql+psycopg://"),
        ("mysql+aiomysql://me:hunter2@here/x", "mysql+pymysql://"),
        ("mysql+asyncmy://me:hunter2@here/x", "mysql+pymysql://"),
        ("mariadb+aiomysql://me:hunter2@here/x", "mariadb+pymysql://"),
        ("mariadb+asyncmy://me:hunter2@here/x", "mariadb+pymysql://"),
        ("sqlite+aiosqlite:////nowhere/x.db", "sqlite://"),
    ],
)
def test_a_driver_for_asyncio_is_refused_with_the_one_to_write(url: str, instead: str) -> None:
    with pytest.raises(ConfigurationError, match="a driver for asyncio") as raised:
        create_record_engine(url)
    assert url.partition("://")[0] in str(raised.value)
    assert f"Write {instead} for the same database" in str(raised.value)
    assert "hunter2" not in str(raised.value)
