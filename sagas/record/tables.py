"""The tables of the record. The migrations bring a database to exactly this."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from sagas.sql import EXACT, Document, Id, Instant, JsonText, PayloadText

__all__ = ["alert", "history", "metadata", "plan", "record", "saga", "step", "worker"]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

#: One row: the record's identity. A caller's session must see the same row to take part in it.
record = Table(
    "saga_record",
    metadata,
    Column("id", Id, primary_key=True),
    # The application that it belongs to; NULL until a named one has used it.
    Column("application", String(200)),
    **EXACT,
)

plan = Table(
    "saga_plan",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("body", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    **EXACT,
)

saga = Table(
    "saga",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("key", String(200), nullable=False),
    # 0 in the saga that has the key; those that had it before are numbered from 1.
    Column("superseded", Integer, nullable=False, server_default="0"),
    Column("plan", String(64), ForeignKey(plan.c.hash), nullable=False),
    Column("status", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("input", PayloadText, nullable=False),
    # What made the saga turn back; a successful undo does not hide it.
    Column("failure", JsonText),
    # Why the saga is parked, and what is left.
    Column("parked", JsonText),
    # Who ended it by hand, and why.
    Column("resolved", JsonText),
    # When the sweep checks it next; NULL once it has ended.
    Column("due_at", Instant),
    # When the message that it waits for was sent; NULL where none is on the way.
    Column("sent_at", Instant),
    # How often the sweep has checked it since its last progress.
    Column("checks", Integer, nullable=False),
    # How often in a row its message was sent again without being claimed.
    Column("resends", Integer, nullable=False),
    # How many copies of it were sent since, as nothing was known about it.
    Column("copies", Integer, nullable=False),
    # How often in a row the sweep failed to advance it.
    Column("failed_sweeps", Integer, nullable=False),
    # In how many checks in a row no living worker consumed the queue of its message.
    Column("unconsumed", Integer, nullable=False),
    # Why it cannot go on without a deploy or a repair; NULL unless people were alerted.
    Column("blocked", JsonText),
    # The step whose message is on the way, or the claim that holds it. Where it is NULL, a writer
    # must read more of the saga before it decides.
    Column("turn", String(200)),
    # When it turns back unless it has ended; NULL where no deadline applies, or none any longer.
    Column("deadline_at", Instant),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    UniqueConstraint("name", "key", "superseded"),
    **EXACT,
)
Index("ix_saga_due", saga.c.due_at, postgresql_where=saga.c.due_at.is_not(None))
Index("ix_saga_status", saga.c.status, saga.c.id)

step = Table(
    "saga_step",
    metadata,
    Column("saga_id", Id, ForeignKey(saga.c.id), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("status", String(24), nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("compensation_attempt", Integer, nullable=False, default=0),
    # How often its probe ran on its own, after the last attempt.
    Column("probe_attempt", Integer, nullable=False, default=0),
    # How many attempts of each operation were lost with their worker.
    Column("losses", Integer, nullable=False, default=0),
    Column("compensation_losses", Integer, nullable=False, default=0),
    # How many of them the participant postponed, and for how many seconds in all.
    Column("postponements", Integer, nullable=False, default=0),
    Column("compensation_postponements", Integer, nullable=False, default=0),
    Column("postponed_s", Integer, nullable=False, default=0),
    Column("compensation_postponed_s", Integer, nullable=False, default=0),
    Column("doubtful", Boolean, nullable=False, default=False),
    Column("output", PayloadText),
    Column("error", JsonText),
    Column("compensation_error", JsonText),
    # Who holds it, or held it last: the execution, the worker's incarnation, the Celery task.
    Column("claim", String(32)),
    Column("worker", Id),
    Column("hostname", String(255)),
    Column("task_id", String(64)),
    Column("retry_at", Instant),
    Column("expires_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("compensation_started_at", Instant),
    Column("compensation_ended_at", Instant),
    **EXACT,
)
_held = step.c.status.in_(("RUNNING", "COMPENSATING"))
Index("ix_saga_step_held", step.c.worker, postgresql_where=_held, sqlite_where=_held)

history = Table(
    "saga_history",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("saga_id", Id, nullable=False),
    Column("at", Instant, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("event", String(40), nullable=False),
    Column("step", String(200)),
    Column("operation", String(16)),
    Column("attempt", Integer),
    Column("actor", String(255), nullable=False),
    Column("detail", JsonText),
    **EXACT,
)
Index("ix_saga_history_saga_id", history.c.saga_id, history.c.id)

#: The outbox of alerts: one row each time that a saga is parked, becomes blocked or keeps failing.
alert = Table(
    "saga_alert",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("saga_id", Id, nullable=False),
    # The saga's epoch when the alert was raised.
    Column("epoch", Integer, nullable=False),
    # "parked", "blocked" or "failing".
    Column("kind", String(16), nullable=False),
    Column("body", JsonText, nullable=False),
    # The receivers that have it.
    Column("delivered_to", JsonText, nullable=False),
    Column("attempts", Integer, nullable=False),
    # When delivery is tried next; NULL once every receiver has it.
    Column("due_at", Instant),
    UniqueConstraint("saga_id", "epoch", "kind"),
    **EXACT,
)
Index("ix_saga_alert_due", alert.c.due_at)

worker = Table(
    "saga_worker",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hostname", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    # How far each lane has moved: lane -> when the newest message received was sent.
    Column("seen", JsonText, nullable=False),
    # Which queues it consumes, by name.
    Column("queues", JsonText, nullable=False),
    # Of which queues it has messages that it has not started for a long time.
    Column("withheld", JsonText, nullable=False),
    **EXACT,
)
