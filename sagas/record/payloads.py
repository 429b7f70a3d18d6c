"""What a saga was given and what its steps returned, as the record keeps it."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from sagas.record import tables as t
from sagas.record.database import Database

__all__ = ["Payloads"]


class Payloads:
    """The input and the outputs of one saga; what was not read with the saga is read when needed.

    Both are JSON, encoded for the record, and neither changes while a step is held.
    """

    def __init__(
        self,
        database: Database,
        saga_id: UUID,
        *,
        input: str | None = None,
        outputs: Mapping[str, str | None] | None = None,
    ) -> None:
        self._database = database
        self._saga_id = saga_id
        self._input = input
        self._outputs = outputs

    @property
    def input(self) -> str:
        """The saga's input."""
        if self._input is None:
            self._input = self._database.read(self._read_input)
        return self._input

    @property
    def outputs(self) -> Mapping[str, str | None]:
        """What each step returned, by the step's name; None where it has returned nothing."""
        if self._outputs is None:
            self._outputs = self._database.read(self._read_outputs)
        return self._outputs

    def _read_input(self, connection: Connection) -> str:
        found: str = connection.execute(_INPUT, {"saga_id": self._saga_id}).scalar_one()
        return found

    def _read_outputs(self, connection: Connection) -> Mapping[str, str | None]:
        rows = connection.execute(_OUTPUTS, {"saga_id": self._saga_id})
        return {row.name: row.output for row in rows}


_INPUT = select(t.saga.c.input).where(t.saga.c.id == bindparam("saga_id"))
_OUTPUTS = select(t.step.c.name, t.step.c.output).where(t.step.c.saga_id == bindparam("saga_id"))
