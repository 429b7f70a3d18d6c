"""A step, made of its action and its compensation, and its place in a saga."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar

from sagas.definition.call import Call, checked_timeout, declare_call
from sagas.errors import DefinitionError
from sagas.plan import PlannedStep
from sagas.retry import Retry
from sagas.states import Operation

__all__ = ["COMPENSATION_RETRY", "Step", "StepDefinition"]

P = ParamSpec("P")
R = TypeVar("R")

#: An undo must get through: it has many attempts, and time.
COMPENSATION_RETRY = Retry(max_attempts=20, wait_initial=0.5, wait_max=300.0)


class StepDefinition(Generic[P, R]):
    """A step: an action, and what belongs to it. Made by ``@step``.

    Called directly, it is the plain function, for unit tests and for use outside of sagas.
    """

    def __init__(
        self,
        function: Callable[P, R],
        action: Call,
        register: Callable[["StepDefinition[P, R]", Operation, Call], None],
        *,
        read_only: bool = False,
    ) -> None:
        self.function = function
        self.action = action
        self.read_only = read_only
        self.undo: Call | None = None
        self.asks: Call | None = None
        self.planned_by: str | None = None
        self._register = register
        register(self, Operation.ACTION, action)

    @property
    def name(self) -> str:
        """The step's name, which is its task's name."""
        return self.action.task

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Name it in messages."""
        return f"<step {self.name}>"

    def compensation(
        self,
        *,
        name: str | None = None,
        retry: Retry = COMPENSATION_RETRY,
        timeout: float | timedelta | None = None,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare what undoes this step, as a Celery task of its own.

        It is called with the saga's input and the Context, whose ``output`` is None where the
        outcome of the action is unknown. Its task is named ``<step>.compensation`` unless *name*
        is given, and it goes to the step's queue unless *queue* is given. Further options are
        Celery's. Returns the plain function.

        Raises:
            DefinitionError: the step has a compensation already, or the declaration cannot work.
        """

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self._accept("compensation", self.undo, function)
            if self.read_only:
                raise DefinitionError(
                    f"Step {self.name!r} is read_only, and has a compensation "
                    f"({function.__qualname__}). Remove one of the two."
                )
            task = name or f"{self.name}.compensation"
            inherited = {"queue": self.action.options["queue"]} if self._has_queue else {}
            self.undo = declare_call(
                function, task, retry=retry, timeout=timeout, options={**inherited, **options}
            )
            self._register(self, Operation.COMPENSATION, self.undo)
            return function

        return declare

    def probe(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Declare what asks the participant whether the action happened.

        It is called where an attempt ended without a certain outcome, before anything is run again
        or undone, in the process that would do so; with the saga's input and the Context, as the
        action is. It returns the action's output if it happened, or True where the output does not
        matter; None or False if it did not happen *and will not*, which is then as certain as a
        refusal. An exception leaves the outcome unknown: it is asked again by the step's policy.
        Returns the plain function.

        Raises:
            DefinitionError: the step has a probe already, or the declaration cannot work.
        """
        self._accept("probe", self.asks, function)
        self.asks = declare_call(
            function, f"{self.name}.probe", retry=self.action.retry, timeout=None, options={}
        )
        return function

    def _accept(self, what: str, present: Call | None, function: Callable[..., Any]) -> None:
        if present is not None:
            raise DefinitionError(
                f"Step {self.name!r} has two {what}s ({present.function.__qualname__}, "
                f"{function.__qualname__}). Make one of both."
            )
        if self.planned_by is not None:
            raise DefinitionError(
                f"Step {self.name!r} gets a {what} after saga {self.planned_by!r} was "
                f"planned without it. Declare the {what} before the saga."
            )

    @property
    def _has_queue(self) -> bool:
        return self.action.options.get("queue") is not None


@dataclass(frozen=True, slots=True)
class Step:
    """A step's place in a saga, where it needs more than the step alone says.

    Args:
        definition: a function declared with ``@step``.
        when: called with the saga's input at the start; the step is skipped where it returns False.
        best_effort: its failure is recorded, and never turns the saga back.
        pivot: once it may have happened there is no way back: what follows is retried, and then
            parked. One step of a saga at most; a last step that nothing can undo is it anyway.
        retry: in place of the step's own policy.
        timeout: in place of the step's own, in seconds or as a timedelta.
        name: in place of the step's own, where a saga has the same step twice.
    """

    definition: StepDefinition[Any, Any]
    when: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    best_effort: bool = field(default=False, kw_only=True)
    pivot: bool = field(default=False, kw_only=True)
    retry: Retry | None = field(default=None, kw_only=True)
    timeout: float | timedelta | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.definition, StepDefinition):
            raise DefinitionError(
                f"Step({self.definition!r}) is not a step. Decorate the function with @step."
            )
        if self.pivot and self.best_effort:
            raise DefinitionError(
                f"Step {self.key!r} is pivot and best_effort: what may fail decides nothing. "
                "Remove one of the two."
            )
        if self.pivot and self.when is not None:
            raise DefinitionError(
                f"Step {self.key!r} is pivot, and has a condition, when=…: where it does not hold, "
                "nothing would say from where on there is no way back. Make another step the "
                "pivot, or decide within this one."
            )
        if self.when is not None and not callable(self.when):
            raise DefinitionError(
                f"Step {self.key!r} has when={self.when!r}, which cannot be called. "
                "Give a function of the saga's input: when=lambda order: order.gift."
            )

    @property
    def key(self) -> str:
        """The step's name in its saga."""
        return self.name or self.definition.name

    @property
    def planned(self) -> PlannedStep:
        """What the plan says of it."""
        action = self.definition.action.planned
        if self.retry is not None:
            action = replace(action, retry=self.retry)
        if self.timeout is not None:
            action = replace(action, timeout_s=checked_timeout(f"Step {self.key!r}", self.timeout))
        undo = self.definition.undo
        return PlannedStep(
            name=self.key,
            action=action,
            compensation=undo.planned if undo else None,
            best_effort=self.best_effort,
            pivot=self.pivot,
            read_only=self.definition.read_only,
            probe=self.definition.asks is not None,
        )
