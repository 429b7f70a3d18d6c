"""What a step can learn while it runs."""

import re
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from sagas import AttemptSuperseded, Context, OutputUnavailable, step
from sagas.states import Operation


class Seat(BaseModel):
    row: int = 4


@step(name="context.seat")
def seat(trip: dict[str, str]) -> Seat:
    """Reserve a seat."""
    return Seat(row=len(trip))


@step(name="context.wave")
def wave(trip: dict[str, str]) -> None:
    """Say goodbye."""


def context(operation: Operation = Operation.ACTION, **more: Any) -> Context:
    values = {"saga_id": UUID(int=5), "key": "T-1", "step": "pay", "attempt": 1, **more}
    return Context(operation=operation, **values)


def test_a_key_is_the_same_for_every_attempt_and_different_for_each_operation() -> None:
    action, again = context(), context(attempt=2)
    undo = context(Operation.COMPENSATION)
    assert action.idempotency_key == again.idempotency_key == action.action_key == undo.action_key
    assert undo.idempotency_key != action.idempotency_key
    assert undo.idempotency_key == context(Operation.COMPENSATION, attempt=9).idempotency_key


def test_a_key_fits_any_provider_and_any_header_whatever_the_step_is_called() -> None:
    ctx = context(step="Zahlung per Überweisung " * 6)
    assert re.fullmatch(r"[0-9a-f-]{36}", ctx.idempotency_key)
    assert ctx.idempotency_uuid == UUID(ctx.idempotency_key)


def test_a_key_stays_the_same_from_one_release_to_the_next() -> None:
    """A participant may remember it for days."""
    assert context().idempotency_key == "30d5203a-e25f-54a3-b003-4f51a7c1dc40"


@pytest.mark.parametrize("other", [{"saga_id": UUID(int=6)}, {"step": "tip"}])
def test_no_two_steps_share_a_key(other: dict[str, Any]) -> None:
    assert context(**other).idempotency_key != context().idempotency_key


def test_the_output_of_an_earlier_step_is_what_it_returned() -> None:
    outputs = {"context.seat": '{"row":9}', "again": '{"row":1}', "context.wave": "null"}
    ctx = context(_outputs=outputs)
    assert ctx.output_of(seat) == Seat(row=9)
    assert ctx.output_of(seat, name="again") == Seat(row=1)
    ctx.output_of(wave)  # it returned None, which is an output too


@pytest.mark.parametrize("outputs", [{}, {"context.seat": None}], ids=["not run", "not succeeded"])
def test_the_error_for_a_missing_output_names_the_step_and_the_reason(
    outputs: dict[str, None],
) -> None:
    with pytest.raises(OutputUnavailable) as raised:
        context(_outputs=outputs).output_of(seat)
    assert "Step pay of saga 00000000-0000-0000-0000-000000000005" in str(raised.value)
    assert "the output of context.seat" in str(raised.value)
    assert "when=… or best_effort=True" in str(raised.value)


def test_a_heartbeat_of_an_attempt_that_holds_its_step_does_nothing() -> None:
    asked = []
    context(_confirm=lambda: asked.append("asked")).heartbeat()
    assert asked == ["asked"]


def test_a_heartbeat_of_a_superseded_attempt_stops_it() -> None:
    def confirm() -> None:
        raise AttemptSuperseded("Saga 5 went on.")

    with pytest.raises(AttemptSuperseded):
        context(_confirm=confirm).heartbeat()
