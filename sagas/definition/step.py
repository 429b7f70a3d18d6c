"""A step, made of its action and its compensation, and its place in a saga."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from sagas.definition.call import Call, checked_duration, declare_call
from sagas.errors import DefinitionError
from sagas.plan import PlannedStep
from sagas.retry import Retry
from sagas.states import Operation

__all__ = ["COMPENSATION_RETRY", "Step", "StepDefinition"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

#: An undo must succeed in the end: it gets many attempts, and time.
COMPENSATION_RETRY = Retry(
    max_attempts=20, wait_initial=0.5, wait_max=300.0, max_postponed=86_400.0
)


class StepDefinition(Generic[P, R]):
    """A step: an action with its compensation and its probe. Made by ``@step``.

    Calling it calls the plain function, for unit tests and for use outside sagas.

    Attributes:
        function: the plain function.
        action: the call of the action.
        compensation_call: the call of the compensation, if one is declared.
        probe_call: the call of the probe, if one is declared.
        read_only: whether it leaves nothing to undo.
        planned_by: the name of a saga that has the step in its plan.
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
        self.compensation_call: Call | None = None
        self.probe_call: Call | None = None
        self.planned_by: str | None = None
        self._register = register
        register(self, Operation.ACTION, action)

    @property
    def name(self) -> str:
        """The step's name, which is the name of its task."""
        return self.action.task

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Return the name, for messages."""
        return f"<step {self.name}>"

    @overload
    def compensation(self, function: F, /) -> F: ...

    @overload
    def compensation(
        self,
        /,
        *,
        name: str | None = None,
        retry: Retry = ...,
        timeout: float | timedelta | None = None,
        **options: Any,
    ) -> Callable[[F], F]: ...

    def compensation(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        retry: Retry = COMPENSATION_RETRY,
        timeout: float | timedelta | None = None,
        **options: Any,
    ) -> Any:
        """Declare the function that undoes this step, as a separate Celery task.

        It is called with the saga's input and, if it has a second parameter, a
        ``CompensationContext``, whose ``output`` is None where the outcome of the action is
        unknown. Returns the plain function.

        Args:
            function: the function, where ``@charge.compensation`` has no parentheses.
            name: the task's name; by default ``<step>.compensation``.
            retry: how often and when an attempt is repeated.
            timeout: how long one attempt may take, in seconds or as a timedelta.
            options: further options of a Celery task; *queue* is the step's by default.

        Raises:
            DefinitionError: the step has a compensation already, or the declaration cannot work.
        """

        def declare(function: F) -> F:
            self._accept("compensation", self.compensation_call, function)
            if self.read_only:
                raise DefinitionError(
                    f"Step {self.name!r} is read_only, and has a compensation "
                    f"({function.__qualname__}). Remove one of the two."
                )
            task = name or f"{self.name}.compensation"
            inherited = {"queue": self.action.options["queue"]} if self._has_queue else {}
            self.compensation_call = declare_call(
                function, task, retry=retry, timeout=timeout, options={**inherited, **options}
            )
            self._register(self, Operation.COMPENSATION, self.compensation_call)
            return function

        return declare if function is None else declare(function)

    def probe(self, function: F) -> F:
        """Declare the function that asks the participant whether the action happened.

        It is called after an attempt without a certain outcome, before the step is run again or
        undone, in the process that would do so. It gets the saga's input and the Context, like the
        action. It returns the action's output if the action happened, or True where the output
        does not matter; None or False if it did not happen *and will not*, which is as certain as a
        refusal. An exception leaves the outcome unknown: the probe runs again by the step's retry
        policy. Returns the plain function.

        Raises:
            DefinitionError: the step has a probe already, or the declaration cannot work.
        """
        self._accept("probe", self.probe_call, function)
        self.probe_call = declare_call(
            function, f"{self.name}.probe", retry=self.action.retry, timeout=None, options={}
        )
        return function

    def _accept(self, what: str, present: Call | None, function: Callable[..., Any]) -> None:
        if present is not None:
            raise DefinitionError(
                f"Step {self.name!r} has two {what}s ({present.function.__qualname__}, "
                f"{function.__qualname__}). Keep one of the two."
            )
        if self.planned_by is not None:
            raise DefinitionError(
                f"Step {self.name!r} gets a {what}, but saga {self.planned_by!r} has been planned "
                f"without it. Declare the {what} before the saga."
            )

    @property
    def _has_queue(self) -> bool:
        return self.action.options.get("queue") is not None


@dataclass(frozen=True, slots=True)
class Step:
    """A step's place in a saga, with options that hold for this saga only.

    Args:
        definition: a function declared with ``@step``.
        when: called with the saga's input at the start; if it returns False, the step is skipped.
        best_effort: its failure is recorded, but never turns the saga back.
        pivot: once it may have happened, there is no way back: later steps are retried, and then
            the saga is parked. A saga has one pivot at most; a last step that nothing can undo is
            the pivot by default.
        retry: replaces the step's own policy.
        timeout: replaces the step's own, in seconds or as a timedelta.
        name: replaces the step's own, where a saga has the same step twice.
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
                f"Step {self.step_name!r} is both pivot and best_effort. A step that may fail "
                "cannot be the point of no return: remove one of the two."
            )
        if self.pivot and self.when is not None:
            raise DefinitionError(
                f"Step {self.step_name!r} is the pivot and has a condition, when=…: if it does not "
                "hold, the saga has no point of no return. Make another step the pivot, or decide "
                "inside this one."
            )
        if self.when is not None and not callable(self.when):
            raise DefinitionError(
                f"Step {self.step_name!r} has when={self.when!r}, which cannot be called. "
                "Give a function of the saga's input: when=lambda order: order.gift."
            )

    @property
    def step_name(self) -> str:
        """The step's name in its saga."""
        return self.name or self.definition.name

    @property
    def planned(self) -> PlannedStep:
        """The plan's data about this step."""
        action = self.definition.action.planned
        if self.retry is not None:
            action = replace(action, retry=self.retry)
        if self.timeout is not None:
            timeout_s = checked_duration(f"Step {self.step_name!r}", "timeout", self.timeout)
            action = replace(action, timeout_s=timeout_s)
        compensation = self.definition.compensation_call
        return PlannedStep(
            name=self.step_name,
            action=action,
            compensation=compensation.planned if compensation else None,
            best_effort=self.best_effort,
            pivot=self.pivot,
            read_only=self.definition.read_only,
            probe=self.definition.probe_call is not None,
        )
