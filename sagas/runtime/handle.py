"""``SagaHandle``: one saga in the record, to look at, to wait for, and to act upon."""

import getpass
import os
from collections.abc import Sequence
from typing import ParamSpec, TypeVar
from uuid import UUID

from sagas.definition import StepDefinition
from sagas.errors import OutputUnavailable, SagaNotFound, WaitTimeout
from sagas.record import queries
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.runtime import operate
from sagas.runtime.app import Runtime
from sagas.states import ENDED, SagaStatus

__all__ = ["SagaHandle", "user_name"]

P = ParamSpec("P")
R = TypeVar("R")


class SagaHandle:
    """One saga in the record; every property is read anew."""

    def __init__(self, runtime: Runtime, saga_id: UUID) -> None:
        self._runtime = runtime
        self.id = saga_id

    def __repr__(self) -> str:
        return f"<saga {self.id}>"

    def view(self) -> SagaView:
        """Return the saga as it is now; raises SagaNotFound."""
        found = self._runtime.database.read(lambda c: queries.saga_by_id(c, self.id))
        if found is None:
            raise SagaNotFound(f"The record has no saga {self.id}. Was its start rolled back?")
        return found

    @property
    def key(self) -> str:
        """The business key."""
        return self.view().key

    @property
    def status(self) -> SagaStatus:
        """The status now."""
        return self.view().status

    def steps(self) -> Sequence[StepView]:
        """Return every step as it is now, in the order of the plan; outputs without secrets."""
        return self._runtime.shown(
            self._runtime.database.read(lambda c: queries.steps_of(c, self.id))
        )

    def history(self) -> Sequence[HistoryEntry]:
        """Return what happened so far, the oldest first."""
        return self._runtime.database.read(lambda c: queries.history_of(c, self.id))

    def output_of(self, step: StepDefinition[P, R], *, name: str | None = None) -> R:
        """Return what a step of this saga returned; *name* is for a renamed step.

        Raises:
            OutputUnavailable: it has not succeeded, or was skipped.
        """
        wanted = name or step.name
        kept = self._runtime.database.read(lambda c: queries.output_of(c, self.id, wanted))
        if kept is None:
            raise OutputUnavailable(f"Step {wanted} of saga {self.id} has no output.")
        output: R = step.action.output.load(self._runtime.vault.read(kept))
        return output

    def wait(self, timeout: float = 30.0) -> SagaStatus:
        """Wait until the saga has ended, COMPLETED, COMPENSATED or FAILED, and return how.

        All who wait in this process share one question to the record: every 20 ms at first, and
        ever more rarely, at least four times a second.

        Raises:
            SagaNotFound: the record has no such saga.
            WaitTimeout: *timeout* seconds passed first. The saga goes on all the same.
        """
        if (status := self.status) in ENDED:
            return status
        if (ended := self._runtime.waiting.wait(self.id, timeout)) is not None:
            return ended
        raise WaitTimeout(
            f"Saga {self.id} is still {self.status} after {timeout} s. It goes on; look at it "
            f"with: sagas -A <your app> show {self.id}. Does a worker run?"
        )

    def cancel(self, *, reason: str, by: str | None = None) -> None:
        """Turn the saga back: what it did is compensated, and it ends COMPENSATED.

        Takes effect at once, also in the middle of a backoff; where an attempt is running, as soon
        as that has ended or its worker is lost. A saga that turns back already is left alone.
        *reason* and *by* go into the history.

        Raises:
            ActionDeclined: its pivot has begun, or it has ended; nothing changed.
            SagaNotFound: the record has no such saga.
        """
        operate.cancel(self._runtime, self.id, reason=reason, by=by or user_name())

    def retry(self, *, note: str | None = None, by: str | None = None) -> None:
        """Try a parked saga's failed steps again, with as many attempts as at first.

        Raises:
            ActionDeclined: it is not parked, or nothing in it can be tried again.
        """
        operate.retry(self._runtime, self.id, note=note, by=by or user_name())

    def skip(self, step: str, *, note: str | None = None, by: str | None = None) -> None:
        """Go on from a parked saga's failed step as if it were done: a person took care of it.

        Raises:
            ActionDeclined: the saga is not parked, or not at this step.
        """
        operate.skip(self._runtime, self.id, step, note=note, by=by or user_name())

    def resolve(
        self, *, note: str, status: SagaStatus | None = None, by: str | None = None
    ) -> None:
        """End a parked saga: a person has done, or undone, all that was left.

        It ends as COMPENSATED if it was turning back, and as COMPLETED if it was past its pivot;
        *status* chooses the other one.

        Raises:
            ActionDeclined: the saga is not parked.
            ValueError: *status* is neither of the two.
        """
        operate.resolve(self._runtime, self.id, note=note, status=status, by=by or user_name())


def user_name() -> str:
    """Return who runs this process; a container's user need not have a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
