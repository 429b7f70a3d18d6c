"""``Saga``: the plan on one screen, and the door through which applications start it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from sagas import faults
from sagas.decision import Dispatch, SagaState, StepState
from sagas.definition import Step, StepDefinition, build_plan
from sagas.errors import DefinitionError, InvalidKey, SagaNotFound, WaitTimeout
from sagas.ids import uuid7
from sagas.payload import Payload
from sagas.record import queries, starts
from sagas.record.queries import HistoryEntry, SagaView, StepView
from sagas.runtime.after_commit import after_commit
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import ENDED, Operation, SagaStatus, StepStatus

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Saga", "SagaHandle", "saga_named"]

I = TypeVar("I")  # noqa: E741 - the input

#: How long a business key may be, in characters.
KEY_LIMIT = 200

_defined: dict[str, "Saga[Any]"] = {}


def saga_named(name: str) -> "Saga[Any]":
    """Return the saga that this process defines under that name; raises SagaNotFound."""
    if name not in _defined:
        known = ", ".join(sorted(_defined)) or "none"
        raise SagaNotFound(f"No saga is named {name!r} in this application. It defines: {known}.")
    return _defined[name]


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
        """Return every step as it is now, in the order of the plan."""
        return self._runtime.database.read(lambda c: queries.steps_of(c, self.id))

    def history(self) -> Sequence[HistoryEntry]:
        """Return what happened so far, the oldest first."""
        return self._runtime.database.read(lambda c: queries.history_of(c, self.id))

    def wait(self, timeout: float = 30.0) -> SagaStatus:
        """Wait until the saga has ended, COMPLETED, COMPENSATED or FAILED, and return how.

        Asks the record at first every 20 ms and ever more rarely, at least twice a second.

        Raises:
            WaitTimeout: *timeout* seconds passed first. The saga goes on all the same.
        """
        deadline = time.monotonic() + timeout
        pause_s = 0.02
        while (status := self.status) not in ENDED:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise WaitTimeout(
                    f"Saga {self.id} is still {status} after {timeout} s. It goes on; look at it "
                    f"with: sagas show {self.id}. Does a worker run?"
                )
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, 0.5)
        return status


class Saga(Generic[I]):
    """A named plan: ordered steps over one input.

    Args:
        name: the saga's name, unique in the application.
        input: the type of the input; a pydantic model, as a rule.
        steps: functions declared with ``@step``, or ``Step(function, …)``.

    Raises:
        DefinitionError: the declaration cannot work; the message names the step and the remedy.
    """

    def __init__(
        self,
        name: str,
        *,
        input: type[I],
        steps: Sequence[StepDefinition[Any, Any] | Step],
    ) -> None:
        self.name = name
        self.plan, self.steps = build_plan(name, input, tuple(steps))
        self._input = Payload(input)
        _define(self)

    def __repr__(self) -> str:
        return f"<Saga {self.name}: {', '.join(step.key for step in self.steps)}>"

    def start(
        self, input: I, *, key: str | None = None, session: "Session | Connection | None" = None
    ) -> SagaHandle:
        """Start a saga, and return its handle.

        Without *session* it is committed here. With it, the saga is part of the caller's
        transaction: it commits or rolls back with it, and is published after the commit. In both
        cases, once committed the saga runs to its end whatever happens to this process or the
        broker; a broker that is away raises nothing here.

        The same name, *key* and input again give the same saga.

        Args:
            input: the saga's input, validated here.
            key: the business key, of 1 to 200 characters; by default the saga's id.
            session: a SQLAlchemy Session or Connection on the record's database.

        Raises:
            pydantic.ValidationError: the input is not valid; no row was written.
            InvalidKey: the key cannot be stored; no row was written.
            KeyConflict: the key is taken by a saga with another input; no row was written.
            WrongDatabase: the session is on another database; no row was written.
            RecordNotReady: the record's tables are missing.
        """
        runtime = runtime_of()
        new = self._new(runtime, input, key)
        if session is None:
            return _start_alone(runtime, new)
        return _start_within(runtime, new, session)

    def start_json(
        self, text: str, *, key: str | None = None, session: "Session | Connection | None" = None
    ) -> SagaHandle:
        """Start a saga whose input is JSON; otherwise as :meth:`start`."""
        return self.start(self._input.load(text), key=key, session=session)

    def _new(self, runtime: Runtime, input: I, key: str | None) -> starts.NewSaga:
        text = self._input.dump(input)
        saga_id = uuid7()
        return starts.NewSaga(
            id=saga_id,
            key=_checked_key(str(saga_id) if key is None else key),
            plan=self.plan,
            input=text,
            # Asked of what the workers will see, which is not always the object that was given.
            skipped=self._skipped(self._input.load(text)),
            actor=f"application {runtime.hostname}",
            same_input=self._input.same,
        )

    def _skipped(self, input: I) -> tuple[str, ...]:
        return tuple(s.key for s in self.steps if s.when is not None and not s.when(input))

    def get(self, *, key: str) -> SagaHandle:
        """Return the saga of this name with that key; raises SagaNotFound."""
        runtime = runtime_of()
        found = runtime.database.read(lambda c: queries.saga_by_key(c, self.name, key))
        if found is None:
            raise SagaNotFound(f"The record has no saga {self.name!r} with the key {key!r}.")
        return SagaHandle(runtime, found.id)


def _define(saga: Saga[Any]) -> None:
    first = _defined.setdefault(saga.name, saga)
    if first.plan != saga.plan:
        raise DefinitionError(
            f"Two sagas are named {saga.name!r}: {first!r} and {saga!r}. "
            "Their business keys would meet. Give one of them another name."
        )
    _defined[saga.name] = saga


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_LIMIT or not key.isprintable():
        raise InvalidKey(
            f"The key {key!r} cannot be stored and searched. Give a string of 1 to {KEY_LIMIT} "
            "printable characters. Nothing was started."
        )
    return key


def _start_alone(runtime: Runtime, new: starts.NewSaga) -> SagaHandle:
    store = runtime.store
    lease_s = runtime.settings.saga_lease_s
    saga_id = runtime.database.write(
        lambda c: starts.insert_saga(c, store.plans, new, lease_s=lease_s)
    )
    if saga_id == new.id:
        _publish(runtime, new)
    return SagaHandle(runtime, saga_id)


def _start_within(
    runtime: Runtime, new: starts.NewSaga, session: "Session | Connection"
) -> SagaHandle:
    connection = session if isinstance(session, Connection) else session.connection()
    starts.require_same_record(connection, runtime.record_id)
    lease_s = runtime.settings.saga_lease_s
    saga_id = starts.insert_saga(connection, runtime.store.plans, new, lease_s=lease_s)
    if saga_id == new.id:
        after_commit(connection, lambda: _publish(runtime, new))
    return SagaHandle(runtime, saga_id)


def _publish(runtime: Runtime, new: starts.NewSaga) -> None:
    """Send the chain of a saga that is committed; where this fails, the sweep sends it."""
    faults.reach("start.committed", new.key)
    steps = tuple(step.name for step in new.plan if step.name not in new.skipped)
    if not steps:
        return
    saga = SagaState(
        id=new.id,
        name=new.plan.name,
        key=new.key,
        status=SagaStatus.STARTED,
        epoch=1,
        plan=new.plan,
        steps={name: StepState(name, StepStatus.SKIPPED) for name in new.skipped},
        now=datetime.now(UTC),
    )
    runtime.messages.publish(saga, Dispatch(Operation.ACTION, steps), epoch=1)
