"""Plans by their content hash: written once, and read once per process."""

from sqlalchemy import Connection, select

from sagas.plan import Plan
from sagas.record import tables as t
from sagas.record.database import Database
from sagas.sql import insert_if_absent, now

__all__ = ["Plans"]


class Plans:
    """Unbounded cache: plans are immutable, and an application has few."""

    def __init__(self) -> None:
        self._known: dict[str, Plan] = {}
        self._committed: set[str] = set()

    def get(self, connection: Connection, plan_hash: str) -> Plan:
        """Return the plan with that hash."""
        if plan_hash not in self._known:
            query = select(t.plan.c.body).where(t.plan.c.hash == plan_hash)
            self._known[plan_hash] = Plan.from_json(connection.execute(query).scalar_one())
        return self._known[plan_hash]

    def known(self, plan_hash: object) -> Plan | None:
        """Return the plan with that hash, if this process has read it before."""
        return self._known.get(plan_hash) if isinstance(plan_hash, str) else None

    def put(self, connection: Connection, plan: Plan) -> str:
        """Store the plan in this transaction unless the record has it, and return its hash."""
        query = select(t.plan.c.hash).where(t.plan.c.hash == plan.hash)
        if connection.execute(query).one_or_none() is None:
            row = {
                "hash": plan.hash,
                "name": plan.name,
                "body": plan.to_json(),
                "created_at": now(),
            }
            insert_if_absent(connection, t.plan, row)
        return plan.hash

    def commit(self, database: Database, plan: Plan) -> None:
        """Store the plan in a transaction of its own, unless this process has done so before.

        In a long transaction, a plan that is not committed yet would keep every other start of its
        saga waiting.
        """
        if plan.hash not in self._committed:
            database.write(lambda connection: self.put(connection, plan))
            self._committed.add(plan.hash)
