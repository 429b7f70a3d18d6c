"""``SagaHandle``: one saga in the record, to look at, wait for and act on."""

import getpass
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from sagas.client import operate
from sagas.definition import StepDefinition
from sagas.errors import OutputUnavailable, SagaNotFound, WaitTimeout
from sagas.record import queries
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.retry import to_seconds
from sagas.runtime.app import Runtime
from sagas.states import ENDED, SagaStatus

__all__ = ["SagaHandle", "user_name"]

P = ParamSpec("P")
R = TypeVar("R")


class SagaHandle:
    """One saga in the record; every property but the id and ``created`` queries the record.

    Attributes:
        id: the saga's id.
        created: whether the call that returned this handle started the saga. False where the key
            was taken by the same saga before, and for a handle that only looked it up.
    """

    def __init__(self, runtime: Runtime, saga_id: UUID, *, created: bool = False) -> None:
        self._runtime = runtime
        self.id = saga_id
        self.created = created

    def __repr__(self) -> str:
        return f"<saga {self.id}>"

    def describe(self) -> SagaView:
        """Return the saga as the record has it now; raises SagaNotFound."""
        found = self._runtime.database.read(lambda c: queries.saga_by_id(c, self.id))
        if found is None:
            raise SagaNotFound(f"The record has no saga {self.id}. Was its start rolled back?")
        return found

    @property
    def key(self) -> str:
        """The business key."""
        return self.describe().key

    @property
    def status(self) -> SagaStatus:
        """The status now."""
        return self.describe().status

    @property
    def input(self) -> Any:
        """The saga's input as JSON values, with stars in place of secrets; raises SagaNotFound."""
        kept = self._runtime.database.read(lambda c: queries.input_of(c, self.id))
        if kept is None:
            raise SagaNotFound(f"The record has no saga {self.id}. Was its start rolled back?")
        return json.loads(self._runtime.masked(kept))

    def steps(self) -> Sequence[StepView]:
        """Return every step as it is now, in the plan's order; secrets in outputs are masked."""
        return self._runtime.shown(
            self._runtime.database.read(lambda c: queries.steps_of(c, self.id))
        )

    def history(self) -> Sequence[HistoryEntry]:
        """Return what has happened so far, the oldest entry first."""
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
        output: R = step.action.output.load(self._runtime.payload_codec.decode(kept))
        return output

    def wait(self, timeout: float | timedelta = 30.0) -> SagaStatus:
        """Wait until the saga is COMPLETED, COMPENSATED or FAILED, and return that status.

        All callers of this process share one query to the record: every 20 ms at first, then less
        often, but at least four times a second.

        Args:
            timeout: how long to wait, in seconds or as a timedelta.

        Raises:
            SagaNotFound: the record has no such saga.
            WaitTimeout: the saga did not end within *timeout*. It goes on all the same.
        """
        if (status := self.status) in ENDED:
            return status
        timeout_s = to_seconds(timeout)
        if (ended := self._runtime.waiters.wait(self.id, timeout_s)) is not None:
            return ended
        raise WaitTimeout(
            f"Saga {self.id} is still {self.status} after {timeout_s:g} s. It goes on; look at it "
            f"with: sagas -A <your app> show {self.id}. {self._what_may_be_missing()}"
        )

    def _what_may_be_missing(self) -> str:
        if not self._runtime.runs_eagerly:
            return "Is a worker running?"
        return (
            "Is it a test? With task_always_eager no worker sweeps: what waits for the sweep, such "
            "as a deadline or an attempt that was lost, waits for ever. Use a worker for it."
        )

    def cancel(self, *, reason: str, by: str | None = None) -> None:
        """Turn the saga back: it compensates what it did, and ends COMPENSATED.

        A cancel takes effect at once, even during a backoff; if an attempt is running, as soon as
        it has ended or its worker is lost. A saga that is already turning back is left alone.
        *reason* and *by* (default: the user of this process) go into the history.

        Raises:
            ActionDeclined: its pivot has begun or it has ended; nothing changed.
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
        """Go on from a parked saga's failed step: a person has taken care of it.

        Raises:
            ActionDeclined: the saga is not parked, or not at this step.
        """
        operate.skip(self._runtime, self.id, step, note=note, by=by or user_name())

    def resolve(
        self, *, note: str, status: SagaStatus | None = None, by: str | None = None
    ) -> None:
        """End a parked saga: a person has done or undone what was left.

        It ends COMPENSATED if it was turning back, and COMPLETED if it was past its pivot; *status*
        overrides that.

        Raises:
            ActionDeclined: the saga is not parked.
            ValueError: *status* is neither of the two.
        """
        operate.resolve(self._runtime, self.id, note=note, status=status, by=by or user_name())


def user_name() -> str:
    """Return the user of this process; in a container, a user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
