"""Where a text is visible: in the columns of the record and to people."""

import json
from collections.abc import Sequence

import pytest
from sqlalchemy import RowMapping, Table, select

from sagas import SagaHandle
from sagas.cli import render_list
from sagas.cli.render_saga import print_saga
from sagas.cli.terminal import print_json
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.record.listing import ListedSaga

__all__ = ["holding", "what_people_see"]


def rows_of(database: Database, table: Table) -> Sequence[RowMapping]:
    return database.read(lambda c: c.execute(select(table)).mappings().all())


def columns(database: Database, *tables: Table) -> dict[str, str]:
    """Return everything that the record contains, as text, by column."""
    found: dict[str, str] = {}
    for table in tables or t.metadata.sorted_tables:
        for row in rows_of(database, table):
            for name, value in row.items():
                # A payload from a row hides its text from repr, not from the record.
                text = str.__str__(value) if isinstance(value, str) else repr(value)
                found[f"{table.name}.{name}"] = f"{found.get(f'{table.name}.{name}', '')} {text}"
    return found


def holding(database: Database, text: str) -> set[str]:
    """Return the columns that contain a text."""
    return {name for name, value in columns(database).items() if text in value}


def what_people_see(handle: SagaHandle, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what ``show``, ``show --json`` and ``list`` print and what the handle describes."""
    view, steps, history = handle.describe(), handle.steps(), handle.history()
    print_saga(view, json.dumps(handle.input), steps, history)
    print_json([{"saga": view, "input": handle.input, "steps": steps, "history": history}])
    render_list.print_list([ListedSaga(view, str(view.id), None, 0.0)], limit=9)
    return f"{capsys.readouterr()} {view} {steps} {history} {handle!r}"
