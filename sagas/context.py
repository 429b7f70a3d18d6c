"""The second argument of a step: what it may know and use while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec
from uuid import UUID, uuid5

from typing_extensions import TypeVar

from sagas import barrier, faults
from sagas.commits import Followed
from sagas.errors import BarrierError, OutputUnavailable
from sagas.hidden import Sealed
from sagas.once_result import OnceResult
from sagas.payload import Payload
from sagas.sessions import connection_of
from sagas.states import Operation, Outcome

if TYPE_CHECKING:
    from sagas.definition import StepDefinition
    from sagas.sessions import AnySession

__all__ = ["CompensationContext", "Context", "Failure"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Output = TypeVar("Output", default=Any)


@dataclass(frozen=True, slots=True)
class Failure:
    """What made the saga turn back: the step, the error's type and code, and its message.

    The step is None if no step failed: then the type is ``Cancelled`` or ``DeadlineExceeded``.
    """

    step: str | None
    type: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The second argument of a step's function, for one attempt.

    A compensation gets a ``CompensationContext``. In tests, ``sagas.testing`` builds both.

    Attributes:
        saga_id: the saga's id.
        key: the saga's business key.
        step: the step's name in the saga.
        operation: action or compensation.
        attempt: 1-based; actions and compensations are counted separately.
        output: in a compensation, what the action returned; None where that is unknown. If its type
            no longer accepts what is stored, the fields that do not fit are JSON values, and
            missing ones are no attributes.
        outcome: in a compensation, SUCCESS or UNKNOWN; None in an action.
        failure: in a compensation, what made the saga turn back; None in an action.
    """

    saga_id: UUID
    key: str
    step: str
    operation: Operation
    attempt: int
    output: Any = field(default=None, repr=False)
    outcome: Outcome | None = None
    failure: Failure | None = None
    _result_type: Payload = field(default_factory=lambda: Payload(Any), repr=False)
    _outputs: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    _confirm: Callable[[], None] = field(default=lambda: None, repr=False)
    _used: list[Followed] = field(default_factory=list, repr=False)

    @property
    def idempotency_key(self) -> str:
        """A key to pass to a participant: the same at every attempt of this operation.

        The action and the compensation of a step have different keys. It is ``idempotency_uuid`` as
        text: 36 letters, digits and hyphens, which every provider and every header accepts.
        """
        return str(self.idempotency_uuid)

    @property
    def idempotency_uuid(self) -> UUID:
        """The idempotency key as a UUID, for participants that ask for one."""
        return self._key_of(self.operation)

    @property
    def action_key(self) -> str:
        """The action's key: a compensation can find the effect by it, even without an output."""
        return str(self._key_of(Operation.ACTION))

    def _key_of(self, operation: Operation) -> UUID:
        # A hash (RFC 9562, version 5): names of steps have any length and any letters.
        return uuid5(self.saga_id, f"{self.step}:{operation}")

    def output_of(self, step: "StepDefinition[P, R]", *, name: str | None = None) -> R:
        """Return what an earlier step of this saga returned; *name* is for a renamed step.

        An output that its type no longer accepts is an error in an action. A compensation gets it
        as far as it can be read.

        Raises:
            OutputUnavailable: the step was skipped, did not succeed, or runs after this one.
        """
        wanted = name or step.name
        text = self._outputs.get(wanted)
        if text is None:
            raise OutputUnavailable(
                f"Step {self.step} of saga {self.saga_id} asked for the output of {wanted}, "
                "which has none: it was skipped, did not succeed, runs later, or has another name "
                "in this saga. Ask only for earlier steps, and handle this error for those with "
                "when=… or best_effort=True."
            )
        stored = step.action.output
        # What is to be undone must be undone, even where the type has changed since.
        undoing = self.operation is Operation.COMPENSATION
        output: R = stored.load_or_salvage(text)[0] if undoing else stored.load(text)
        return output

    def once(
        self,
        session: "AnySession",
        function: Callable[[], T],
        *,
        returns: type[T] | None = None,
    ) -> T:
        """Run *function* so that its effect happens once, even if messages repeat or come late.

        The barrier's row and the effect commit with *session*'s transaction, which belongs to the
        caller, and must be committed when the step returns: the engine checks it. At a repeat the
        function does not run, and its stored result is returned. Call it once per transaction:
        effects that belong together go into one function.

        The result is of the type *returns*, else of the function's annotation, else of the step's
        return type, else plain JSON. Where the step returns None, any other result is left out.

        Raises:
            HangingAction: this action came after its own compensation; it had no effect.
            BarrierError: it was called twice in one transaction, the table is missing, the
                connection is in AUTOCOMMIT, or the result cannot be stored.
        """
        connection = connection_of(session, f"ctx.once() in step {self.step}")
        transaction = connection.get_transaction() or connection.begin()
        if any(used.transaction is transaction for used in self._used):
            raise BarrierError(
                f"Step {self.step} called ctx.once() twice in one transaction: the second call "
                "would return the first one's result and do nothing. Put both effects in one "
                "function."
            )
        # Noted before it runs: a second call inside it, or after it failed, must be refused too.
        self._used.append(Followed(connection, transaction))
        result = OnceResult(self.step, self._result_type, function, returns)
        found: Sealed[T] = Sealed(
            barrier.once(
                connection,
                function,
                saga_id=self.saga_id,
                step=self.step,
                operation=self.operation,
                dump=result.dump,
                load=result.load,
            )
        )
        faults.reach(f"{self.operation}.entered", self.key, self.step)
        return found.value

    def _require_commits(self) -> None:
        """Check that every transaction of ``once`` was committed; the engine calls it at the end.

        Raises:
            BarrierError: one was not; it is rolled back.
        """
        committed = [used.end() for used in self._used]  # every one of them is to be ended
        if not all(committed):
            raise BarrierError(
                f"Step {self.step} of saga {self.saga_id} returned without having committed the "
                "session or connection that it gave to ctx.once(): the effect is rolled back. "
                "Commit it before the function returns: with Session(engine) as session, "
                "session.begin(): …"
            )

    def heartbeat(self) -> None:
        """Check that this attempt still holds its step; call it regularly in a long step.

        Raises:
            AttemptSuperseded: the saga has gone on without this attempt: stop without any effect.
        """
        self._confirm()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationContext(Context, Generic[Output]):
    """The context of a compensation: also knows what to undo, and why.

    The type parameter is what the action returns: ``CompensationContext[Payment]``.

    Attributes:
        output: what the action returned; None where its outcome is unknown.
        outcome: SUCCESS or UNKNOWN.
        failure: what made the saga turn back.
    """

    output: Output | None = field(default=None, repr=False)
    outcome: Outcome
    failure: Failure
