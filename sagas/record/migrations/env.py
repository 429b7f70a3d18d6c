"""Run by alembic: apply the migrations on the connection that was handed over."""

from alembic import context

from sagas.record.migrate import VERSION_TABLE
from sagas.record.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
