"""What `sagas` exports, and mistakes in declarations, which are refused with the remedy."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from celery import _state as celery_state
from pydantic import BaseModel

import sagas
from sagas import CompensationContext, DefinitionError, Failure, Outcome, Saga, step
from sagas.decision import SagaColumns
from sagas.events import Event
from sagas.record import tables
from sagas.states import SagaStatus, StepStatus
from sagas.testing import action_context, compensation_context


class Order(BaseModel):
    total: Decimal = Decimal(0)


@dataclass
class Parcel:
    weight: int


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(autouse=True)
def _forget_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tasks that are declared here from the apps of other tests."""
    monkeypatch.setattr(celery_state, "_on_app_finalizers", set(celery_state._on_app_finalizers))  # noqa: SLF001
    monkeypatch.setattr(celery_state, "_get_active_apps", list)


def charge(order: Order) -> int:
    return int(order.total)


def refused(declare: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as raised:
        declare()
    return str(raised.value)


# Exports.


def test_every_exported_name_exists_and_has_a_docstring() -> None:
    for name in sagas.__all__:
        assert getattr(sagas, name).__doc__, name


def test_the_version_is_that_of_the_distribution() -> None:
    assert sagas.__version__ == importlib.metadata.version("celery-sagas")


def test_every_status_of_a_saga_or_a_step_is_an_event() -> None:
    statuses = {str(status) for status in (*SagaStatus, *StepStatus)}
    assert statuses == {str(event) for event in Event if event.isupper()}


def test_every_column_that_a_decision_may_write_is_in_the_table() -> None:
    assert SagaColumns.__optional_keys__ <= set(tables.saga.c.keys())


# Misspelt options.


@pytest.mark.parametrize(
    ("misspelt", "nearest"),
    [
        ("reties", "retry"),
        ("retries", "retry"),
        ("time_out", "timeout"),
        ("quue", "queue"),
        ("rate_limits", "rate_limit"),
        ("readonly", "read_only"),
    ],
)
def test_a_misspelt_option_of_a_step_is_refused_with_the_nearest_name(
    misspelt: str, nearest: str
) -> None:
    options: dict[str, Any] = {misspelt: 5}
    message = refused(lambda: step(name="surface.slip", **options)(charge))
    assert f"Step 'surface.slip' is given {misspelt}=" in message
    assert f"Did you mean {nearest}=?" in message


def test_a_misspelt_option_of_a_compensation_is_refused_and_does_not_suggest_read_only() -> None:
    charged = step(name="surface.undo-slip")(charge)
    message = refused(lambda: charged.compensation(readonly=True)(charge))
    assert "'surface.undo-slip.compensation' is given readonly=" in message
    assert "read_only" not in message


def test_an_option_that_resembles_no_other_is_refused_with_the_list_of_all() -> None:
    message = refused(lambda: step(name="surface.odd", zzz=1)(charge))
    assert "It has name, retry, timeout, read_only, queue, priority, rate_limit" in message


@pytest.mark.parametrize("option", ["time_limit", "soft_time_limit", "serializer", "expires"])
def test_an_option_of_celery_that_the_engine_replaces_is_refused_with_its_replacement(
    option: str,
) -> None:
    options: dict[str, Any] = {option: 5}
    message = refused(lambda: step(name="surface.celery", **options)(charge))
    assert f"is given {option}=, which a saga step cannot have" in message


# Compensations.


@pytest.mark.parametrize("with_parentheses", [True, False])
def test_a_compensation_is_declared_with_or_without_parentheses(*, with_parentheses: bool) -> None:
    charged = step(name=f"surface.parentheses.{with_parentheses}")(charge)

    def refund(order: Order, ctx: CompensationContext[int]) -> None:
        """Refund it."""

    declare = charged.compensation() if with_parentheses else charged.compensation
    assert declare(refund) is refund
    assert charged.compensation_call is not None
    assert charged.compensation_call.function is refund


def test_the_test_kit_builds_the_contexts_that_the_engine_would() -> None:
    charged = step(name="surface.kit")(charge)
    earlier = step(name="surface.kit.earlier")(charge)
    acting = action_context(charged, attempt=2, outputs={earlier: 7})
    assert (acting.step, acting.attempt, acting.output_of(earlier)) == ("surface.kit", 2, 7)

    @charged.compensation
    def refund(order: Order, ctx: CompensationContext[int]) -> None:
        """Refund it."""

    why = Failure("parcel.send", "StepFailed", "no such address")
    undoing = compensation_context(charged, output=3, failure=why)
    assert (undoing.output, undoing.outcome, undoing.failure) == (3, Outcome.SUCCESS, why)
    assert compensation_context(charged).outcome is Outcome.UNKNOWN
    charging = action_context(charged, saga_id=undoing.saga_id)
    assert undoing.action_key == charging.idempotency_key
    with pytest.raises(ValueError, match=r"surface\.kit\.earlier' has no compensation"):
        compensation_context(earlier)


# Durations.


@pytest.mark.parametrize("deadline", [90, 90.0, timedelta(seconds=90)])
def test_a_deadline_is_seconds_or_a_timedelta(deadline: float | timedelta) -> None:
    charged = step(name=f"surface.deadline.{deadline}")(charge)
    saga = Saga(f"surface.deadline.{deadline!r}", input=Order, steps=[charged], deadline=deadline)
    assert saga.plan.deadline_s == 90.0


# Input types.


def taking(annotation: Any) -> Any:
    def ship(given: Any) -> None:
        """Ship it."""

    ship.__annotations__["given"] = annotation
    return step(name=f"surface.taking.{annotation}"[:150])(ship)


@pytest.mark.parametrize(
    ("input_type", "taken"),
    [
        (dict, int),
        (dict[str, Any], int),
        (int, str),
        (str, list[str]),
        (list[int], dict),
        (Order, int),
        (Order, Parcel),
        (Parcel, Order),
        (Colour, int),
        (int | None, str),
        (float, int),
    ],
    ids=repr,
)
def test_an_input_that_no_step_could_read_is_refused_at_definition(
    input_type: Any, taken: Any
) -> None:
    name = f"surface.mismatch.{input_type}.{taken}"
    message = refused(lambda: Saga(name, input=input_type, steps=[taking(taken)]))
    assert f"Saga {name!r} has the input" in message
    assert "Annotate its first parameter with" in message


@pytest.mark.parametrize(
    ("input_type", "taken"),
    [
        (dict, Order),
        (Order, dict),
        (Order, BaseModel),
        (int, float),
        (int, int | str),
        (Colour, str),
        (str, Colour),
        (Order, Any),
        (Any, Order),
        (Decimal, Decimal),
        (Order, Order | None),
        (list[Order], list[dict[str, Any]]),
    ],
    ids=repr,
)
def test_an_input_that_a_step_may_read_is_accepted(input_type: Any, taken: Any) -> None:
    name = f"surface.match.{input_type}.{taken}"
    assert Saga(name, input=input_type, steps=[taking(taken)]).plan.steps
