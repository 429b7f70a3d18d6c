"""The record: sagas, steps, history, plans, workers."""

import uuid

import sqlalchemy as sa
from alembic import op

from sagas.sql import EXACT, Document, Id, Instant, JsonText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "saga_history",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("saga_id", Id, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("step", sa.String(length=200), nullable=True),
        sa.Column("operation", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("detail", JsonText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_history")),
        **EXACT,
    )
    op.create_index("ix_saga_history_saga_id", "saga_history", ["saga_id", "id"], unique=False)
    op.create_table(
        "saga_alert",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("saga_id", Id, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.Column("delivered_to", JsonText(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_alert")),
        sa.UniqueConstraint(
            "saga_id", "epoch", "kind", name=op.f("uq_saga_alert_saga_id_epoch_kind")
        ),
        **EXACT,
    )
    op.create_index("ix_saga_alert_due", "saga_alert", ["due_at"], unique=False)
    op.create_table(
        "saga_plan",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("body", Document, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_saga_plan")),
        **EXACT,
    )
    op.create_table(
        "saga_record",
        sa.Column("id", Id, nullable=False),
        sa.Column("application", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_record")),
        **EXACT,
    )
    op.create_table(
        "saga_worker",
        sa.Column("id", Id, nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("heartbeat_at", Instant(), nullable=False),
        sa.Column("seen", JsonText(), nullable=False),
        sa.Column("queues", JsonText(), nullable=False),
        sa.Column("withheld", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_worker")),
        **EXACT,
    )
    op.create_table(
        "saga",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("superseded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("input", Document, nullable=False),
        sa.Column("failure", JsonText(), nullable=True),
        sa.Column("parked", JsonText(), nullable=True),
        sa.Column("resolved", JsonText(), nullable=True),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("sent_at", Instant(), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("resends", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("failed_sweeps", sa.Integer(), nullable=False),
        sa.Column("unconsumed", sa.Integer(), nullable=False),
        sa.Column("blocked", JsonText(), nullable=True),
        sa.Column("turn", sa.String(length=200), nullable=True),
        sa.Column("deadline_at", Instant(), nullable=True),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["plan"], ["saga_plan.hash"], name=op.f("fk_saga_plan")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga")),
        sa.UniqueConstraint("name", "key", "superseded", name=op.f("uq_saga_name_key_superseded")),
        **EXACT,
    )
    op.create_index(
        "ix_saga_due",
        "saga",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("ix_saga_status", "saga", ["status", "id"], unique=False)
    op.create_table(
        "saga_step",
        sa.Column("saga_id", Id, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("compensation_attempt", sa.Integer(), nullable=False),
        sa.Column("probe_attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("compensation_losses", sa.Integer(), nullable=False),
        sa.Column("postponements", sa.Integer(), nullable=False),
        sa.Column("compensation_postponements", sa.Integer(), nullable=False),
        sa.Column("postponed_s", sa.Integer(), nullable=False),
        sa.Column("compensation_postponed_s", sa.Integer(), nullable=False),
        sa.Column("doubtful", sa.Boolean(), nullable=False),
        sa.Column("output", Document, nullable=True),
        sa.Column("error", JsonText(), nullable=True),
        sa.Column("compensation_error", JsonText(), nullable=True),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("worker", Id, nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=True),
        sa.Column("task_id", sa.String(length=64), nullable=True),
        sa.Column("retry_at", Instant(), nullable=True),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("compensation_started_at", Instant(), nullable=True),
        sa.Column("compensation_ended_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["saga_id"], ["saga.id"], name=op.f("fk_saga_step_saga_id")),
        sa.PrimaryKeyConstraint("saga_id", "name", name=op.f("pk_saga_step")),
        **EXACT,
    )
    op.create_index(
        "ix_saga_step_held",
        "saga_step",
        ["worker"],
        unique=False,
        postgresql_where=sa.text("status IN ('RUNNING', 'COMPENSATING')"),
        sqlite_where=sa.text("status IN ('RUNNING', 'COMPENSATING')"),
    )
    # Which record this is: start(session=…) compares it with what the caller's session sees.
    op.bulk_insert(sa.table("saga_record", sa.column("id", Id)), [{"id": uuid.uuid4()}])


def downgrade() -> None:
    """Drop the tables."""
    for name in ("alert", "step", "worker", "record", "history"):
        op.drop_table(f"saga_{name}")
    op.drop_table("saga")
    op.drop_table("saga_plan")
