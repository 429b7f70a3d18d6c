"""Payloads on their way to JSON and back, and errors on their way to the record."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from sagas.payload import NotReadAlike, Payload, describe_error

SECRET = "hunter2"  # noqa: S105 - it must not be seen


class Money(BaseModel):
    amount: Decimal
    paid_at: datetime
    id: UUID


@dataclass
class Place:
    name: str
    floor: int = 0


@given(
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    paid_at=st.datetimes(timezones=st.just(UTC)),
    by=st.uuids(),
)
def test_decimals_datetimes_and_uuids_lose_nothing(
    amount: Decimal, paid_at: datetime, by: UUID
) -> None:
    payload, money = Payload(Money), Money(amount=amount, paid_at=paid_at, id=by)
    again = payload.load(payload.dump(money))
    assert again == money
    assert again.amount.as_tuple() == amount.as_tuple()  # 1.10 is not 1.1


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Decimal, Decimal("0.1000000000000000000000000000000000001")),
        (Decimal, Decimal("-12345678901234567890.10")),
        (datetime, datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))),
        (date, date(2026, 3, 1)),
        (timedelta, timedelta(days=1, microseconds=1)),
        (list[int], [2**80, -(2**63)]),
        (dict[str, Place], {"a": Place("Rome", 3)}),
        (bytes, b"\x00 text"),
        (str, "naïve \u0000 \U0001f600"),
        (None, None),
        (type(None), None),
        (Any, {"plain": [1, 2.5, "x", None, True]}),
    ],
    ids=str,
)
def test_a_value_survives_a_round_trip_through_json(annotation: Any, value: Any) -> None:
    payload = Payload(annotation)
    assert payload.load(payload.dump(value)) == value


def test_a_decimal_without_an_annotation_travels_as_exact_text() -> None:
    payload = Payload(Any)
    assert payload.load(payload.dump({"sum": Decimal("1.10")})) == {"sum": "1.10"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("annotation", [float, float | None, Any, dict[str, float | None]], ids=str)
def test_a_number_that_json_does_not_have_is_refused_and_never_becomes_null(
    annotation: Any, number: float
) -> None:
    payload = Payload(annotation)
    value = {"x": number} if annotation == dict[str, float | None] else number
    with pytest.raises(ValueError, match=r"(?i)number|nan|finite|json|inf"):
        payload.dump(value)


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_decimal_that_is_not_a_number_is_refused(number: str) -> None:
    with pytest.raises(ValidationError):
        Payload(Decimal).dump(Decimal(number))


def test_a_value_of_another_type_than_declared_is_refused() -> None:
    with pytest.raises(ValidationError):
        Payload(Place).dump("Rome")


def test_an_instance_that_was_corrupted_after_its_creation_is_refused() -> None:
    money = Money(amount=Decimal(1), paid_at=datetime(2026, 3, 1, tzinfo=UTC), id=UUID(int=1))
    money.amount = SECRET  # type: ignore[assignment]
    with pytest.raises(NotReadAlike, match=r"Money cannot be read back .* amount") as raised:
        Payload(Money).dump(money)
    assert SECRET not in describe_error(raised.value)


def test_an_instance_that_breaks_only_its_constraints_is_refused() -> None:
    class Bounded(BaseModel):
        seats: int = Field(ge=1)

    bounded = Bounded(seats=1)
    bounded.seats = -4
    with pytest.raises(NotReadAlike, match="seats"):
        Payload(Bounded).dump(bounded)


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"amount": 1}', "[]"])
def test_a_payload_that_the_engine_did_not_write_is_not_read(text: str) -> None:
    with pytest.raises(ValidationError):
        Payload(Money).load(text)


class Colour(Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Customer(BaseModel, extra="forbid"):
    name: str = ""


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, SECRET),
        (float, SECRET),
        (bool, SECRET),
        (Decimal, SECRET),
        (datetime, SECRET),
        (date, SECRET),
        (timedelta, SECRET),
        (Colour, SECRET),
        (Literal["red"], SECRET),
        (list[int], [1, SECRET]),
        (dict[str, int], {"password": SECRET}),
        (int | Decimal, SECRET),
        (Money, {"amount": SECRET, "paid_at": SECRET, "id": 1}),
        (Place, {"name": "Rome", "floor": SECRET}),
        (Customer, SECRET),
        (Customer, {"name": [SECRET]}),
        (Annotated[str, Field(max_length=3)], SECRET),
        (Annotated[str, Field(pattern="^x")], SECRET),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": SECRET}),
    ],
    ids=str,
)
def test_the_description_of_an_invalid_value_does_not_show_the_value(
    annotation: Any, value: Any
) -> None:
    with pytest.raises(ValidationError) as raised:
        Payload(annotation).dump(value)
    assert SECRET in str(raised.value)  # pydantic's own text does
    assert SECRET not in describe_error(raised.value)
    assert "pydantic.dev" not in describe_error(raised.value)


def test_the_description_of_an_invalid_value_says_where_and_what() -> None:
    with pytest.raises(ValidationError) as raised:
        Payload(dict[str, Place]).dump({"home": {"name": "Rome", "floor": "top"}})
    described = describe_error(raised.value)
    assert "home.floor: Input should be a valid integer" in described
    assert described.startswith("dict[str,Place] is not valid: ")


def test_the_description_of_a_value_that_is_not_an_object_says_value() -> None:
    with pytest.raises(ValidationError) as raised:
        Payload(int).dump("x")
    assert describe_error(raised.value).startswith("int is not valid: value: Input should be")


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (RuntimeError("the line went dead"), "the line went dead"),
        (RuntimeError(), "RuntimeError"),
        (KeyError("seat"), "'seat'"),
        (RuntimeError("x" * 5_000), "x" * 2_000),
    ],
    ids=["message", "no message", "key", "long"],
)
def test_any_other_error_is_described_by_its_message_or_its_type(
    error: Exception, description: str
) -> None:
    assert describe_error(error) == description


def test_the_description_of_many_problems_is_bounded() -> None:
    with pytest.raises(ValidationError) as raised:
        Payload(list[int]).dump(["x"] * 1_000)
    assert len(describe_error(raised.value)) == 2_000
