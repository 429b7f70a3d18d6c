"""Fresh databases for each run: SQLite files, or a schema in an existing PostgreSQL database."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

__all__ = ["fresh_databases"]


@contextmanager
def fresh_databases(url: str | None, directory: Path) -> Iterator[tuple[str, str]]:
    """Yield the URLs of the record and of the participant, both empty.

    With a *url*, they share a new schema in that PostgreSQL database, which is dropped afterwards.
    Without one, each is a file in the directory.
    """
    if url is None:
        yield f"sqlite:///{directory / 'record.db'}", f"sqlite:///{directory / 'participant.db'}"
        return
    schema = f"kills_{uuid.uuid4().hex}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
    inside = make_url(url).update_query_dict({"options": f"-csearch_path={schema}"})
    try:
        yield (inside.render_as_string(hide_password=False),) * 2
    finally:
        with engine.begin() as connection:
            connection.execute(DropSchema(schema, cascade=True))
        engine.dispose()
