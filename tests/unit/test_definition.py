"""Declaring steps and sagas: what cannot work is refused by name, with the remedy."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from pydantic import BaseModel
from typing_extensions import TypedDict

from sagas import Context, Retry, Saga, Step, step
from sagas.definition import COMPENSATION_RETRY, build_plan
from sagas.hidden import Sealed
from tests.unit.declared import Trip, book, made, refused

if TYPE_CHECKING:
    from decimal import Decimal as Nowhere


class LongTrip(Trip):
    pass


class Parcel(BaseModel):
    weight: int = 1


def cancel(trip: Trip, ctx: Context) -> None:
    """Undo it."""


pytestmark = pytest.mark.usefixtures("forgotten_tasks")

BOOK = "tests.unit.declared.book"

# A step.


def test_a_step_called_directly_is_the_plain_function() -> None:
    assert made()(Trip(place="Oslo")) == "Oslo"


def test_a_step_has_the_name_of_its_task() -> None:
    assert made("defined.named").name == "defined.named"
    assert repr(made("defined.named")) == "<step defined.named>"


def test_a_step_without_a_name_is_named_as_celery_names_tasks() -> None:
    def sail(trip: Trip) -> None:
        """Go."""

    assert step(sail).name == "tests.unit.test_definition.sail"


def test_a_step_has_three_attempts_and_no_timeout_by_default() -> None:
    action = made().action
    assert (action.retry, action.timeout_s) == (Retry(max_attempts=3), None)


@pytest.mark.parametrize("timeout", [1.5, timedelta(seconds=1.5)], ids=str)
def test_a_timeout_is_seconds_or_a_timedelta(timeout: float | timedelta) -> None:
    assert made(timeout=timeout).action.timeout_s == 1.5


REMEDIES = {
    "acks_late": "the record recovers what a lost worker held",
    "autoretry_for": "use retry=Retry(…) instead",
    "base": "wrap the function instead",
    "bind": "use the Context, the function's second parameter, instead",
    "default_retry_delay": "use retry=Retry(wait_initial=…) instead",
    "dont_autoretry_for": "raise StepFailed for what must not be retried",
    "ignore_result": "the record has the results",
    "max_retries": "use retry=Retry(max_attempts=…) instead",
    "pydantic": "inputs and outputs are validated by their annotations",
    "reject_on_worker_lost": "the record recovers what a lost worker held",
    "retry_backoff": "use retry=Retry(wait_exp_base=…) instead",
    "retry_jitter": "use retry=Retry(wait_jitter=…) instead",
    "throws": "StepFailed and RetryAfter are expected errors already",
    "typing": "the engine makes the messages",
}


@pytest.mark.parametrize(("option", "remedy"), REMEDIES.items())
def test_an_option_of_celery_that_a_step_cannot_have_is_refused_with_the_alternative(
    option: str, remedy: str
) -> None:
    message = refused(lambda: made("defined.option", **{option: True}))
    assert f"Step 'defined.option' ({BOOK}) is given {option}=" in message
    assert remedy in message


def test_a_compensation_cannot_have_those_options_either() -> None:
    declare = made("defined.compensation_call-option").compensation(bind=True)
    assert "'defined.compensation_call-option.compensation'" in refused(lambda: declare(cancel))


def test_every_other_option_of_celery_is_passed_on() -> None:
    options = {"queue": "slow", "rate_limit": "1/s", "priority": 3}
    assert made("defined.passed", **options).action.options == options


@pytest.mark.parametrize("option", [{"queue": "slow"}, {"rate_limit": "1/s"}, {"priority": 3}])
def test_celery_does_not_warn_about_an_option_that_the_docstring_names(
    option: dict[str, Any],
) -> None:
    made(f"defined.named-option.{next(iter(option))}", **option)
    app = Celery("unwarned", set_as_current=False)
    app.finalize()  # where Celery warns, and a warning is an error here
    assert f"defined.named-option.{next(iter(option))}" in app.tasks


async def coroutine(trip: Trip) -> str:
    return trip.place


def generator(trip: Trip) -> Iterator[str]:
    yield trip.place


async def async_generator(trip: Trip) -> AsyncIterator[str]:
    yield trip.place


@pytest.mark.parametrize("function", [coroutine, generator, async_generator])
def test_a_function_that_does_not_run_when_it_is_called_is_refused(
    function: Callable[..., Any],
) -> None:
    message = refused(lambda: step(name="defined.lazy")(function))
    assert f"Step 'defined.lazy' ({__name__}.{function.__name__})" in message
    assert "Write a plain function" in message


def none_at_all() -> None: ...


def three(trip: Trip, ctx: Context, more: int) -> None: ...


def only_keyword(*, trip: Trip) -> None: ...


def required_keyword(trip: Trip, *, more: int) -> None: ...


def required_keyword_after_two(trip: Trip, ctx: Context, *, more: int) -> None: ...


def required_keyword_after_optional(
    trip: Trip, ctx: Context | None = None, *, more: int
) -> None: ...


def only_variadic(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        none_at_all,
        three,
        only_keyword,
        required_keyword,
        required_keyword_after_two,
        required_keyword_after_optional,
        only_variadic,
    ],
)
def test_a_function_that_cannot_be_called_with_input_and_context_is_refused(
    function: Callable[..., Any],
) -> None:
    message = refused(lambda: step(name="defined.arguments")(function))
    assert f"Step 'defined.arguments' ({__name__}.{function.__name__}) takes (" in message
    assert "Declare it as f(input) or f(input, ctx)." in message


def one(trip: Trip) -> Any:
    return [trip.place]


def two(trip: Trip, ctx: Context) -> Any:
    return [trip.place, ctx]


def positional_only(trip: Trip, ctx: Context, /) -> Any:
    return [trip.place, ctx]


def with_default(trip: Trip, ctx: Context | None = None, more: int = 3) -> Any:
    return [trip.place, ctx, more]


def variadic(trip: Trip, *args: Any, **kwargs: Any) -> Any:
    return [trip.place, *args, *kwargs]


def keyword_with_default(trip: Trip, *, more: int = 3) -> Any:
    return [trip.place, more]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (one, ["Rome"]),
        (two, ["Rome", "CTX"]),
        (positional_only, ["Rome", "CTX"]),
        (with_default, ["Rome", "CTX", 3]),
        (variadic, ["Rome"]),
        (keyword_with_default, ["Rome", 3]),
    ],
)
def test_a_function_is_given_the_context_if_it_takes_one(
    function: Callable[..., Any], result: list[Any]
) -> None:
    declared = step(name=f"defined.call.{function.__name__}")(function)
    assert declared.action(Sealed(Trip()), "CTX") == result


ENDLESS = [float("inf"), 1e12, timedelta.max]


@pytest.mark.parametrize("timeout", [0, -1, timedelta(0), float("nan"), *ENDLESS], ids=str)
def test_a_timeout_that_no_attempt_can_have_is_refused(timeout: float | timedelta) -> None:
    message = refused(lambda: made("defined.timeout", timeout=timeout))
    assert "Step 'defined.timeout'" in message
    assert (
        f"timeout={timeout!r}: give seconds or a timedelta, above 0 and a year at most" in message
    )


@pytest.mark.parametrize("deadline", [timedelta(0), timedelta(seconds=-1), timedelta.max], ids=str)
def test_a_deadline_that_no_saga_can_have_is_refused(deadline: timedelta) -> None:
    declared = made("defined.deadline")
    message = refused(
        lambda: Saga("defined.endless", input=Trip, steps=[declared], deadline=deadline)
    )
    assert "Saga 'defined.endless' has deadline=" in message
    assert "give seconds or a timedelta, above 0 and a year at most, or None." in message


@pytest.mark.parametrize("option", [{"timeout": "soon"}, {"retry": 3}, {"retry": None}], ids=str)
def test_a_policy_of_the_wrong_kind_is_refused_where_it_is_declared(option: Any) -> None:
    message = refused(lambda: made("defined.kind", **option))
    assert "'defined.kind'" in message
    assert next(iter(option)) in message


def unresolved(trip: "Nowhere") -> None: ...


def test_an_annotation_that_only_the_type_checker_sees_is_refused() -> None:
    message = refused(lambda: step(name="defined.hints")(unresolved))
    assert "Step 'defined.hints'" in message
    assert "'Nowhere' is not defined" in message
    assert "at module level, not under TYPE_CHECKING" in message


class Opaque:
    pass


def opaque_input(thing: Opaque) -> None: ...


def opaque_output(_: Trip) -> Opaque:
    return Opaque()


@pytest.mark.parametrize(
    ("function", "where"),
    [(opaque_input, "its first parameter"), (opaque_output, "its return value")],
)
def test_a_type_that_cannot_be_json_is_refused(function: Callable[..., Any], where: str) -> None:
    message = refused(lambda: step(name="defined.opaque")(function))
    assert f"Step 'defined.opaque' ({__name__}.{function.__name__}) declares {where} as" in message
    assert "Use a pydantic model, a dataclass, or JSON values." in message


class Callme:
    def __call__(self, trip: Trip) -> str:
        return trip.place


@pytest.mark.parametrize(
    "what",
    ["payment.charge", functools.partial(book), Callme(), 3],
    ids=["a name", "a partial", "an object", "a number"],
)
def test_a_value_that_is_not_a_function_cannot_be_a_step(what: Any) -> None:
    # People who know other libraries write @step("payment.charge").
    message = refused(lambda: step(what))
    assert "@step" in message


def test_two_functions_cannot_be_the_same_task() -> None:
    step(name="defined.twice")(book)
    message = refused(lambda: step(name="defined.twice")(one))
    assert "task 'defined.twice'" in message
    assert f"{BOOK} and {__name__}.one" in message
    assert "Give one of them another name=." in message


def test_a_second_import_of_the_program_is_refused_with_its_own_remedy() -> None:
    step(name="defined.main")(book)

    def again(trip: Trip) -> str:
        return trip.place

    again.__module__, again.__qualname__ = "__main__", "book"
    message = refused(lambda: step(name="defined.main")(again))
    assert "keep the steps in a module that is only imported" in message


def test_a_function_may_be_declared_again_when_its_module_is_reloaded() -> None:
    assert made("defined.again").name == made("defined.again").name


# Its compensation.


def test_a_compensation_is_a_task_of_its_own_and_the_function_stays_plain() -> None:
    booked = made("defined.undo")
    assert booked.compensation()(cancel) is cancel
    assert booked.compensation_call is not None
    assert booked.compensation_call.task == "defined.undo.compensation"
    assert (booked.compensation_call.retry, booked.compensation_call.timeout_s) == (
        COMPENSATION_RETRY,
        None,
    )


def test_a_compensation_has_many_attempts_and_long_waits() -> None:
    assert COMPENSATION_RETRY.max_attempts >= 20
    assert COMPENSATION_RETRY.wait_s(COMPENSATION_RETRY.max_attempts, 0) == 300.0


@pytest.mark.parametrize(
    ("of_step", "own", "queue"),
    [({"queue": "a"}, {}, "a"), ({"queue": "a"}, {"queue": "b"}, "b"), ({}, {}, None)],
)
def test_a_compensation_goes_to_the_queue_of_its_step_by_default(
    of_step: dict[str, Any], own: dict[str, Any], queue: str | None
) -> None:
    booked = made("defined.queue", **of_step)
    booked.compensation(**own)(cancel)
    assert booked.compensation_call is not None
    assert booked.compensation_call.planned.queue == queue


def test_a_step_cannot_have_two_compensations() -> None:
    booked = made("defined.two-undos")
    booked.compensation()(cancel)
    message = refused(lambda: booked.compensation(name="defined.other-undo")(one))
    assert "Step 'defined.two-undos' has two compensations (cancel, one)" in message
    assert "Keep one of the two." in message


# A place in a saga.


def test_a_place_may_change_what_the_step_says() -> None:
    place = Step(made(), name="first", retry=Retry(max_attempts=9), timeout=4, best_effort=True)
    planned = place.planned
    assert (planned.name, planned.best_effort) == ("first", True)
    assert (planned.action.task, planned.action.timeout_s) == ("defined.made", 4.0)
    assert planned.action.retry.max_attempts == 9


def test_a_place_that_says_nothing_changes_nothing() -> None:
    booked = made("defined.place", timeout=3, retry=Retry(max_attempts=2))
    assert Step(booked).planned.action == booked.action.planned


def test_a_place_takes_only_a_step() -> None:
    message = refused(lambda: Step(book))  # type: ignore[arg-type]
    assert "Step(<function book" in message
    assert "Decorate the function with @step." in message


def test_a_timeout_of_a_place_is_checked_too() -> None:
    message = refused(lambda: Step(made(), name="here", timeout=-1).planned)
    assert "Step 'here' has timeout=-1: give seconds or a timedelta, above 0" in message


def test_a_condition_that_cannot_be_called_is_refused() -> None:
    message = refused(lambda: Step(made("defined.when"), when=True))  # type: ignore[arg-type]
    assert "defined.when" in message
    assert "when" in message


# A saga.


def test_a_plan_has_the_steps_in_their_order() -> None:
    first, second = made("defined.first"), made("defined.second")
    second.compensation()(cancel)
    plan, placed = build_plan("trip", Trip, [first, Step(second, best_effort=True)])
    assert [planned.name for planned in plan] == ["defined.first", "defined.second"]
    assert [place.step_name for place in placed] == ["defined.first", "defined.second"]
    assert plan["defined.first"].compensation is None
    assert plan["defined.second"].compensation is not None


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_saga_needs_a_name_that_the_record_can_hold(name: str) -> None:
    message = refused(lambda: Saga(name, input=Trip, steps=[made()]))
    assert repr(name) in message
    assert "1 to 200 printable characters" in message


@pytest.mark.parametrize("name", ["x" * 201, "two\nlines", "\x00"])
def test_a_task_needs_a_name_that_the_record_can_hold(name: str) -> None:
    message = refused(lambda: made(name))
    assert repr(name) in message
    assert "cannot be stored: use 1 to 200 printable characters" in message


def test_a_step_needs_a_name_that_the_record_can_hold() -> None:
    long = "x" * 201
    message = refused(lambda: Saga("long", input=Trip, steps=[Step(made(), name=long)]))
    assert "'long'" in message
    assert long in message
    assert "200 printable characters" in message


def test_a_saga_needs_a_step() -> None:
    message = refused(lambda: Saga("empty", input=Trip, steps=[]))
    assert message == "Saga 'empty' has no steps. Give it at least one."


def test_a_saga_cannot_have_two_steps_with_one_name() -> None:
    twice = made("defined.once")
    message = refused(lambda: Saga("double", input=Trip, steps=[twice, twice]))
    assert "Saga 'double' has two steps named 'defined.once'" in message
    assert "Step(defined.once, name=…)" in message


def test_a_saga_may_have_a_step_twice_under_two_names() -> None:
    twice = made("defined.under-two-names", read_only=True)
    saga = Saga("two-names", input=Trip, steps=[twice, Step(twice, name="again")])
    assert [place.step_name for place in saga.steps] == ["defined.under-two-names", "again"]
    assert repr(saga) == "<Saga two-names: defined.under-two-names, again>"


@pytest.mark.parametrize("what", [book, "defined.made", None], ids=["a function", "a name", "None"])
def test_a_saga_contains_only_steps(what: Any) -> None:
    message = refused(lambda: Saga("odd", input=Trip, steps=[what]))
    assert f"Saga 'odd' lists {what!r}, which is not a step" in message
    assert "Decorate the function with @step, and list the function itself" in message


def test_a_saga_whose_step_takes_another_input_is_refused() -> None:
    def weigh(parcel: Parcel) -> None: ...

    weighed = step(name="defined.weigh")(weigh)
    message = refused(lambda: Saga("mixed", input=Trip, steps=[weighed]))
    assert "Saga 'mixed' has the input Trip, but 'defined.weigh'" in message
    assert "takes Parcel" in message
    assert "Annotate its first parameter with Trip or a base class of it." in message


def test_a_saga_whose_compensation_takes_another_input_is_refused() -> None:
    def unweigh(parcel: Parcel, ctx: Context) -> None: ...

    booked = made("defined.booked")
    booked.compensation()(unweigh)
    message = refused(lambda: Saga("mixed-undo", input=Trip, steps=[booked]))
    assert "'defined.booked.compensation' (step 'defined.booked') takes Parcel" in message


def unannotated(trip, ctx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return trip, ctx


def anything(trip: Any) -> None: ...


def an_object(trip: object) -> None: ...


def a_union(trip: Trip | Parcel) -> None: ...


@pytest.mark.parametrize("function", [book, unannotated, anything, a_union])
@pytest.mark.parametrize("input_type", [Trip, LongTrip])
def test_a_step_may_take_a_base_class_or_say_nothing_about_its_input(
    function: Callable[..., Any], input_type: type[Trip]
) -> None:
    taken = step(name=f"defined.taken.{function.__name__}")(function)
    assert Saga(
        f"taken.{input_type.__name__}.{function.__name__}", input=input_type, steps=[taken]
    ).plan.steps


class Typed(TypedDict):
    place: str


@dataclass
class Plain:
    place: str = ""


def typed(trip: Typed) -> None: ...


def plain(trip: Plain) -> None: ...


def listed(trip: list[Trip]) -> None: ...


@pytest.mark.parametrize(
    ("input_type", "function"), [(Typed, typed), (Plain, plain), (list[Trip], listed)]
)
def test_an_input_may_be_any_type_that_pydantic_knows(
    input_type: Any, function: Callable[..., Any]
) -> None:
    taken = step(name=f"defined.input.{function.__name__}")(function)
    assert Saga(f"inputs.{function.__name__}", input=input_type, steps=[taken]).plan.steps


def test_an_input_that_cannot_be_json_is_refused_with_the_name_of_the_saga() -> None:
    message = refused(lambda: Saga("opaque", input=Opaque, steps=[made()]))
    assert "'opaque'" in message
    assert "pydantic model" in message


def test_a_compensation_declared_after_its_saga_is_refused() -> None:
    # The plan is made with the saga, so the compensation would never run.
    booked = made("defined.late-undo")
    Saga("late", input=Trip, steps=[booked])
    message = refused(lambda: booked.compensation()(cancel))
    assert "'defined.late-undo'" in message


def test_two_sagas_cannot_share_a_name() -> None:
    Saga("same-name", input=Trip, steps=[made("defined.same-1")])
    message = refused(lambda: Saga("same-name", input=Trip, steps=[made("defined.same-2")]))
    assert "'same-name'" in message


def test_a_saga_may_be_defined_again_when_its_module_is_reloaded() -> None:
    one, other = (Saga("reloaded", input=Trip, steps=[made("defined.re")]) for _ in range(2))
    assert one.plan == other.plan
