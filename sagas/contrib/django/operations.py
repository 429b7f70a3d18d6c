"""The operation of the migration."""

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation
from sqlalchemy import URL
from sqlalchemy.schema import CreateTable, DropTable

from sagas import barrier
from sagas.contrib.django.drivers import driver_of

__all__ = ["CreateBarrier"]


class CreateBarrier(Operation):  # type: ignore[misc]  # Django has no types
    """Create the table of ``sagas.barrier``, exactly as that module declares it.

    A table that ``sagas.barrier.create_tables`` has created is left as it is.
    """

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no models: the table has none."""

    def database_forwards(self, app_label: str, schema_editor: Any, *_: Any) -> None:
        """Create the table."""
        _execute(app_label, schema_editor, CreateTable(barrier.table, if_not_exists=True))

    def database_backwards(self, app_label: str, schema_editor: Any, *_: Any) -> None:
        """Drop the table."""
        _execute(app_label, schema_editor, DropTable(barrier.table, if_exists=True))

    def describe(self) -> str:
        """Describe the operation."""
        return "Create the table saga_barrier"


def _execute(app_label: str, schema_editor: Any, statement: CreateTable | DropTable) -> None:
    django = schema_editor.connection
    if router.allow_migrate(django.alias, app_label):
        dialect = URL.create(driver_of(django)).get_dialect()()
        schema_editor.execute(str(statement.compile(dialect=dialect)).strip(), params=None)
