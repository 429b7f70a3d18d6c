"""What a step may know and use while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from sagas import barrier, faults
from sagas.errors import BarrierError, OutputUnavailable
from sagas.payload import Payload
from sagas.states import Operation, Outcome

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from sagas.definition import StepDefinition

__all__ = ["Context", "Failure"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What made the saga turn back: the step, the error's type and code, and its message.

    The step is None where it was no step: type ``Cancelled`` or ``DeadlineExceeded``.
    """

    step: str | None
    type: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The second argument of an action or a compensation, for one attempt.

    Attributes:
        saga_id: the saga's id.
        key: the saga's business key.
        step: the step's name in the saga.
        operation: action or compensation.
        attempt: 1-based; actions and compensations count apart.
        output: in a compensation, what the action returned; None where its outcome is unknown.
        outcome: in a compensation, SUCCESS or UNKNOWN; None in an action.
        failure: in a compensation, what made the saga turn back; None in an action.
    """

    saga_id: UUID
    key: str
    step: str
    operation: Operation
    attempt: int
    output: Any = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    result_type: Payload = field(default_factory=lambda: Payload(Any), repr=False)
    outputs: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    confirm: Callable[[], None] = field(default=lambda: None, repr=False)
    _used: list[Any] = field(default_factory=list, repr=False)

    @property
    def idempotency_key(self) -> str:
        """A key to hand to a participant: the same at every attempt of this operation.

        The action and the compensation of a step have different keys.
        """
        return self._key_of(self.operation)

    @property
    def action_key(self) -> str:
        """The action's key, by which a compensation finds the effect without an output."""
        return self._key_of(Operation.ACTION)

    def _key_of(self, operation: Operation) -> str:
        return f"{self.saga_id}:{self.step}:{operation}"

    def output_of(self, step: "StepDefinition[P, R]", *, name: str | None = None) -> R:
        """Return what an earlier step of this saga returned; *name* is for a renamed step.

        Raises:
            OutputUnavailable: the step was skipped, did not succeed, or runs after this one.
        """
        wanted = name or step.name
        text = self.outputs.get(wanted)
        if text is None:
            raise OutputUnavailable(
                f"Step {self.step} of saga {self.saga_id} asked for the output of {wanted}, "
                "which has none: it was skipped, did not succeed, runs later, or is not part of "
                "the saga under that name. Ask only for steps that come before, and guard those "
                "with when=… or best_effort=True."
            )
        output: R = step.action.output.load(text)
        return output

    def once(
        self,
        session: "Session | Connection",
        function: Callable[[], T],
        *,
        returns: type[T] | None = None,
    ) -> T:
        """Run *function* so that its effect happens once, whatever comes twice, late or reordered.

        The barrier's row and the effect commit with *session*'s transaction, which the caller
        owns. At a repeat the function does not run, and its stored result is returned. What the
        function returns must be of the step's return type, or of the type given by *returns*.
        Use it once a transaction: effects that belong together go into one function.

        Raises:
            HangingAction: this action came after its own compensation; nothing was done.
            BarrierError: it was called twice in one transaction, or the table is missing.
        """
        connection = session if isinstance(session, Connection) else session.connection()
        transaction = connection.get_transaction() or connection.begin()
        if any(used is transaction for used in self._used):
            raise BarrierError(
                f"Step {self.step} called ctx.once() twice in one transaction: the second call "
                "would return the first one's result and do nothing. Put both effects in one "
                "function."
            )
        # Before it runs: a second call within it, or after it failed, must be refused too.
        self._used.append(transaction)
        payload = self.result_type if returns is None else Payload(returns)
        result: T = barrier.once(
            connection,
            function,
            saga_id=self.saga_id,
            step=self.step,
            operation=self.operation,
            dump=payload.dump,
            load=payload.load,
        )
        faults.reach(f"{self.operation}.entered", self.key, self.step)
        return result

    def heartbeat(self) -> None:
        """Make sure that this attempt still holds its step; call it now and then in a long step.

        Raises:
            AttemptSuperseded: the saga went on without this attempt; stop, and do nothing more.
        """
        self.confirm()
